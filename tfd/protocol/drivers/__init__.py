"""Thin drivers that carry the state machines over sockets, for the daemon and the SDK alike."""
