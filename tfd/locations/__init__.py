"""Locations: joining them, keeping a session with each, and what is known and asked over it."""
