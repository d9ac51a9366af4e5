"""tfd: the daemon on the small box, which serves containers that run on strong hardware."""

from tfd.protocol import __version__ as __version__
