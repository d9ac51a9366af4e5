"""Relaying: listeners, the connections that came to them, and the channels that carry these."""
