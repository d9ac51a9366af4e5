"""Supervision without I/O: what one declared container needs next, and why."""
