"""An ACME server (pebble) that resolves every name under .test to one address."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.authority import Authority
from tests.support.waiting import wait_for
from tests.support.web_parts import LIMIT, running


@dataclass(frozen=True)
class Ports:
    """Where it listens and its name server does, and where it looks for what proves a name."""

    acme: int
    management: int
    dns: int
    http: int
    https: int


@contextmanager
def acme_server(
    directory: Path,
    ports: Ports,
    address: str,
    life: int,
    listens: Callable[[int], bool],
    within: Sequence[str] = (),
) -> Iterator[Path]:
    """Run it, and give the file with the certificate of its authority.

    `address` is what names under .test resolve to, `life` is its certificates', in seconds; `listens` tells
    whether something accepts connections at a port; `within` begins the command line of what is run.
    """
    authority = Authority()
    root = directory / "ca.pem"
    root.write_bytes(authority.certificate)
    certificate, key = authority.files(directory, "localhost")
    configuration = {
        "listenAddress": f"127.0.0.1:{ports.acme}",
        "managementListenAddress": f"127.0.0.1:{ports.management}",
        "certificate": str(certificate),
        "privateKey": str(key),
        "httpPort": ports.http,
        "tlsPort": ports.https,
        "ocspResponderURL": "",
        "certificateValidityPeriod": life,
    }
    file = directory / "pebble.json"
    file.write_text(json.dumps({"pebble": configuration}))
    dnsmasq = ("dnsmasq", "-k", "-C", "/dev/null", "-p", str(ports.dns), "--listen-address=127.0.0.1")
    options = ("--bind-interfaces", "--no-resolv", f"--address=/test/{address}", "--user=root")
    pebble = ("pebble", "-config", file, "-dnsserver", f"127.0.0.1:{ports.dns}")
    with ExitStack() as stack:
        stack.enter_context(running(*within, *dnsmasq, *options))
        stack.enter_context(
            running(*within, *pebble, PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="0"),
        )
        wait_for(lambda: listens(ports.acme), LIMIT, "pebble")
        yield root
