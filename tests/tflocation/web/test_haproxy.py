"""HAProxy as the location's process: what it serves, and that changes of it cut nothing."""

import asyncio
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.product import free_port
from tests.support.waiting import wait_for
from tests.support.web_parts import HOST, LIMIT, Load, WebSocket, ask, curl, loopback, nginx, told, web_server
from tflocation.values import Address
from tflocation.web.haproxy import HAProxy
from tflocation.web.runtimeapi import RuntimeApi
from tflocation.web.settings import WebSettings
from tflocation.web.sites import Files, Server, Site
from tflocation.web.template import FROM_ONE_ADDRESS

pytestmark = pytest.mark.root

NAME = "www.a.example"
ONE, TWO, THREE = (Server(f"tf-{number}", loopback(number), 256) for number in (1, 2, 3))


@pytest.fixture(scope="module", autouse=True)
def _servers() -> Iterator[None]:
    """Web servers where the containers are said to be."""
    with ExitStack() as stack:
        for server in (ONE, TWO):
            stack.enter_context(web_server(server.ip, server.name))
        yield


@pytest.fixture(scope="module")
def authority() -> Authority:
    """A certificate authority."""
    return Authority()


class Proxy:
    """An HAProxy on ports of loopback, with its directories."""

    def __init__(self, directory: Path, http: int = 0) -> None:
        self.directory = directory
        for name in ("run", "certificates"):
            (directory / name).mkdir(exist_ok=True)
        self.http, self.https = http or free_port(), free_port()
        self.at = HOST, self.http
        self.settings = WebSettings(Address(HOST, self.http), Address(HOST, self.https))
        self.haproxy = HAProxy(self.settings, Files(str(directory / "run"), str(directory / "certificates")))
        self.api = RuntimeApi(directory / "run" / "admin.sock")

    async def serve(self, *sites: Site) -> None:
        """Serve just these sites."""
        await self.haproxy.apply(lambda _: {site.fqdn: site for site in sites})


@asynccontextmanager
async def proxy(directory: Path, *sites: Site) -> AsyncIterator[Proxy]:
    """Run an HAProxy with these sites."""
    found = Proxy(directory)
    found.haproxy.start({})
    try:
        await found.serve(*sites)
        yield found
    finally:
        await found.haproxy.close()


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition while the loop goes on."""
    await asyncio.to_thread(wait_for, condition, LIMIT, what)


def site(*servers: Server, **fields: object) -> Site:
    """Give the site NAME."""
    return replace(Site(NAME, 0, servers), **fields)  # type: ignore[arg-type]  # the fields are the test's


async def test_names_lead_to_their_containers(tmp_path: Path) -> None:
    """In any case, with a port or a dot behind; other names lead nowhere."""
    async with proxy(tmp_path, site(ONE), Site("b.example", 1, (TWO,))) as running:
        for name in (NAME, NAME.upper(), f"{NAME}:8080", f"{NAME}."):
            assert (await asyncio.to_thread(told, running.at, name))["server"] == ONE.name
        assert (await asyncio.to_thread(told, running.at, "b.example"))["server"] == TWO.name
        for name in ("a.example", "x.www.a.example", "127.0.0.1"):
            assert (await asyncio.to_thread(ask, running.at, name))[0] == 404


async def test_containers_know_who_asked_for_what(tmp_path: Path) -> None:
    """The client's address, protocol and name travel in the customary headers."""
    async with proxy(tmp_path, site(ONE)) as running:
        headers = (await asyncio.to_thread(told, running.at, NAME, "/x?y=z"))["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["host"] == headers["x-forwarded-host"] == NAME


async def test_host_and_path_are_rewritten(tmp_path: Path) -> None:
    """The container sees the Host header that it wants, and its own path before the request's."""
    wanted = site(ONE, host="inner:81", prefix="/app")
    async with proxy(tmp_path, wanted, Site("b.example", 1, (ONE,))) as running:
        seen = await asyncio.to_thread(told, running.at, NAME, "/x?y=z")
        assert (seen["path"], seen["headers"]["host"]) == ("/app/x?y=z", "inner:81")
        assert seen["headers"]["x-forwarded-host"] == NAME
        assert (await asyncio.to_thread(told, running.at, "b.example", "/x"))["path"] == "/x"


async def test_tls_is_served_and_plain_requests_are_sent_there(tmp_path: Path, authority: Authority) -> None:
    """HTTP/2 and HTTP/1.1 with the name's certificate; port 80 redirects, and keeps method and query."""
    certificate, key = authority.issue(NAME)
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    async with proxy(tmp_path, site(ONE, certificate=key + certificate)) as running:
        url = f"https://{NAME}:{running.https}/x?y=z"
        trusted = ("--cacert", str(tmp_path / "ca.pem"), "--resolve", f"{NAME}:{running.https}:{HOST}")
        for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
            done = await asyncio.to_thread(curl, *trusted, option, "-w", " %{http_version}", url)
            assert done.stdout.endswith(f" {version}"), done
            assert '"x-forwarded-proto": "https"' in done.stdout
        done = await asyncio.to_thread(
            curl, "-i", "-X", "POST", "-H", f"Host: {NAME}", f"http://{HOST}:{running.http}/x?y=z"
        )
        assert done.stdout.startswith("HTTP/1.1 307"), done
        assert f"location: {url}" in done.stdout
        await running.serve(site(ONE))
        assert (await asyncio.to_thread(ask, running.at, NAME))[0] == 200


async def test_a_certificate_is_shown_for_its_name_alone(tmp_path: Path, authority: Authority) -> None:
    """Whatever other names it claims, those are not its publisher's; changes of it hold at once."""
    certificate, key = authority.issue(NAME, "b.example")
    sites = site(ONE, certificate=key + certificate), Site("b.example", 1, (TWO,))

    def shown(port: int, name: str) -> str:
        context = ssl.create_default_context(cadata=authority.certificate.decode())
        with (
            socket.create_connection((HOST, port), LIMIT) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            found = secure.getpeercert(True)
        assert found is not None
        return ssl.DER_cert_to_PEM_cert(found)

    async with proxy(tmp_path, *sites) as running:
        assert await asyncio.to_thread(shown, running.https, NAME) == certificate.decode()
        with pytest.raises(ssl.SSLError, match="unrecognized name"):
            await asyncio.to_thread(shown, running.https, "b.example")
        fresh, key = authority.issue(NAME)
        await running.serve(replace(sites[0], certificate=key + fresh), sites[1])
        assert await asyncio.to_thread(shown, running.https, NAME) == fresh.decode()
        assert [path.stat().st_mode & 0o777 for path in (tmp_path / "certificates").iterdir()] == [0o600]


async def test_changes_cut_no_request_and_no_connection(tmp_path: Path) -> None:
    """A cluster changes twenty times under load: every request is answered on a connection that stays.

    So do a slow answer and a WebSocket, whose containers are taken out while they last.
    """
    servers = [Server(f"tf-n{number}", loopback(number)) for number in (11, 12, 13, 14)]
    with nginx(tmp_path, [server.ip for server in servers]):
        slow = Site("slow.example", 1, (servers[0],))
        spoken = Site("spoken.example", 2, (ONE,))
        async with proxy(tmp_path, site(*servers), slow, spoken) as running:
            download = asyncio.create_task(asyncio.to_thread(ask, running.at, "slow.example", "/slow"))
            talk = await asyncio.to_thread(WebSocket, running.at, "spoken.example")
            with Load(running.at, NAME) as load:
                for number in range(20):
                    present = [servers[(number + offset) % 4] for offset in range(1 + number % 3)]
                    others = (
                        (slow, spoken)
                        if number < 2
                        else (replace(slow, servers=()), replace(spoken, servers=(TWO,)))
                    )
                    await running.serve(site(*present), *others)
                    count = sum(load.answers.values())
                    await until(
                        lambda count=count: sum(load.answers.values()) > count + 20 or load.failures,  # type: ignore[misc]
                        "twenty more answers",
                    )
                    assert await asyncio.to_thread(talk.echo, f"{number}") == f"{number}"
            talk.close()
            assert load.failures == []
            assert set(load.answers) == {server.ip for server in servers}
            status, body = await download
            assert (status, len(body)) == (200, 96 * 1024)


async def test_a_change_that_is_refused_ends_in_a_reload_that_cuts_nothing(tmp_path: Path) -> None:
    """Where HAProxy is not as expected, a new worker takes its sockets over and serves what is wanted."""
    servers = [Server(f"tf-n{number}", loopback(number)) for number in (11, 12)]
    with nginx(tmp_path, [server.ip for server in servers]):
        present = site(*servers), Site("spoken.example", 2, (ONE,))
        async with proxy(tmp_path, *present) as running:
            before = await running.api.process()
            talk = await asyncio.to_thread(WebSocket, running.at, "spoken.example")
            with Load(running.at, NAME) as load:
                await until(lambda: load.answers, "answers")
                # What stands in the way of the next change.
                assert "registered" in await running.api.ask(f"add server cluster-3/{ONE.name} {ONE.ip}:80")
                await running.serve(*present, Site("more.example", 3, (ONE,)))
                assert await running.api.process() not in (None, before)
            assert load.failures == []
            assert await asyncio.to_thread(talk.echo, "still there") == "still there"
            talk.close()
            assert (await asyncio.to_thread(told, running.at, "more.example"))["server"] == ONE.name


async def test_a_container_that_fails_gets_no_requests(tmp_path: Path) -> None:
    """What nobody listens at is passed over at once, and for good once its checks fail."""
    async with proxy(tmp_path, site(ONE, THREE)) as running:
        for _ in range(10):
            assert (await asyncio.to_thread(told, running.at, NAME))["server"] == ONE.name
        with web_server(THREE.ip, THREE.name):
            await until(lambda: told(running.at, NAME)["server"] == THREE.name, "the container that came up")


@pytest.mark.slow
async def test_slow_headers_hold_no_connection(tmp_path: Path) -> None:
    """A client that never ends its header is answered 408 and cut; others are served meanwhile."""
    async with proxy(tmp_path, site(ONE)) as running:
        slow = [socket.create_connection(running.at, LIMIT) for _ in range(50)]
        for client in slow:
            client.settimeout(2 * LIMIT)
            client.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n".encode())
        assert (await asyncio.to_thread(ask, running.at, NAME))[0] == 200

        def answers() -> list[bytes]:
            return [client.recv(100)[:12] for client in slow]

        assert await asyncio.to_thread(answers) == [b"HTTP/1.1 408"] * len(slow)
        for client in slow:
            client.close()


async def test_one_address_cannot_take_all_connections(tmp_path: Path) -> None:
    """Beyond its share a client is cut off, while another address is served."""
    async with proxy(tmp_path, site(ONE)) as running, AsyncExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(running.at, LIMIT))
            for _ in range(FROM_ONE_ADDRESS + 2)
        ]
        watched = select.poll()
        for connection in connections:
            watched.register(connection, select.POLLIN)
        assert 1 <= len(await asyncio.to_thread(watched.poll, LIMIT * 1000)) <= 2
        other = await asyncio.to_thread(
            curl, "--interface", loopback(99), "-H", f"Host: {NAME}", f"http://{HOST}:{running.http}/x"
        )
        assert ONE.name in other.stdout, other


async def test_it_comes_back_after_it_died(tmp_path: Path) -> None:
    """With all that it served, and with what was changed meanwhile."""
    async with proxy(tmp_path, site(ONE)) as running:
        worker = await running.api.process()
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        await until(lambda: running.haproxy.trouble, "the death to be noticed")
        await running.serve(site(ONE), Site("b.example", 1, (TWO,)))
        assert (await asyncio.to_thread(told, running.at, NAME))["server"] == ONE.name
        assert (await asyncio.to_thread(told, running.at, "b.example"))["server"] == TWO.name


async def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """Why nothing is served is what HAProxy said, and it serves once the port is free."""
    with socket.create_server((HOST, 0)) as taken:
        found = Proxy(tmp_path, taken.getsockname()[1])
        found.haproxy.start({})
        try:
            await until(lambda: "Address already in use" in found.haproxy.trouble, "the reason")
            taken.close()
            await found.serve(site(ONE))
            assert (await asyncio.to_thread(ask, found.at, NAME))[0] == 200
        finally:
            await found.haproxy.close()


PARENT = """
import asyncio, sys
from pathlib import Path
from tests.tflocation.web.test_haproxy import ONE, Proxy, site
async def main():
    proxy = Proxy(Path(sys.argv[1]))
    proxy.haproxy.start({})
    await proxy.serve(site(ONE))
    print(proxy.http, await proxy.api.process(), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_it_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """Also where that is killed: neither master nor worker stays."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline().split()[1])
        master = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        parent.kill()
        for process in (worker, master):
            wait_for(lambda process=process: gone(process), LIMIT, "HAProxy's end")  # type: ignore[misc]


def gone(process: int) -> bool:
    """Whether no process of this id runs."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
