"""The web gateway."""
