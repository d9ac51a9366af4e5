"""The Python SDK of tfd: containers at a location, from a few lines of Python."""
