"""tfd: the daemon on the small box, which serves containers that run on strong hardware."""

__version__ = "0.1.0"
