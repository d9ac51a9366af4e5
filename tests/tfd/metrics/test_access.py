"""Who may look."""

from ipaddress import ip_network

import pytest

from tfd.config.model import Metrics
from tfd.metrics.access import refusal

ALLOW = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/64"))


@pytest.mark.parametrize(
    "host", ["", "localhost", "localhost:9164", "box.localhost:1", "127.0.0.1:9164", "[::1]:1"]
)
def test_this_machine_may_look_under_its_own_names(host: str) -> None:
    """Over loopback and over a Unix socket."""
    for peer in (("127.0.0.1", 5), ("::1", 5, 0, 0), ("::ffff:127.0.0.1", 5, 0, 0), ""):
        assert refusal(Metrics(), peer, host) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9164", "localhost.evil.example", "x@localhost"]
)
def test_a_page_from_elsewhere_may_not_borrow_this_machines_browser(host: str) -> None:
    """A name that its owner lets lead to loopback is refused; with `allow`, names are the user's affair."""
    refused = refusal(Metrics(), ("127.0.0.1", 5), host)

    assert refused is not None
    assert refused.status == 421
    assert refusal(Metrics(allow=ALLOW), ("127.0.0.1", 5), host) is None
    assert refusal(Metrics(), "", host) is None


def test_others_may_look_from_allowed_networks() -> None:
    """And from nowhere else."""
    for peer in (("192.0.2.7", 5), ("2001:db8::7", 5, 0, 0), ("::ffff:192.0.2.7", 5, 0, 0)):
        assert refusal(Metrics(allow=ALLOW), peer, "box.example.net") is None
    for peer in (("192.0.3.7", 5), ("2001:db8:1::7", 5, 0, 0), ("fe80::1%eth0", 5, 0, 2)):
        for metrics in (Metrics(), Metrics(allow=ALLOW)):
            refused = refusal(metrics, peer, "localhost")
            assert refused is not None
            assert refused.status == 403
