"""Where something listens or is reached."""

from tfd.protocol.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port, or a Unix socket's absolute path, or the name of sockets that systemd passes.

    `host` is an IPv4 address, an IPv6 address without brackets, or a name that the daemon resolves later;
    it and `port` are empty and 0 where `path` or `passed` is set. `passed` is a FileDescriptorName=
    (systemd.socket(5)). `str()` gives it as the configuration writes it.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    passed: str = ""

    @property
    def is_unix(self) -> bool:
        """Whether this is a Unix socket."""
        return bool(self.path)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        if self.passed:
            return f"systemd:{self.passed}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
