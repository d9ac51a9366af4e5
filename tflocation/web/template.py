"""HAProxy's configuration for a location (configuration manual of HAProxy 2.6). Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from tflocation.values import Address
from tflocation.web.settings import HTTPS_PORT, WebSettings
from tflocation.web.sites import BACKENDS, MAPS, Files, Sites, backend_name, map_values

MAX_CONNECTIONS = 8192
"""Of all clients together; about 40 KiB each."""

FROM_ONE_ADDRESS = 1024
"""Connections of one client address: a content network's edge needs many, and none may take all."""

_TEMPLATE = """\
global
    maxconn {connections}
    {user}
    stats socket {directory}/admin.sock mode 600 level admin expose-fd listeners
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20
    tune.h2.max-concurrent-streams 100

defaults
    mode http
    option forwardfor
    # A worker that was replaced says so in its last answer on a connection, and cuts none in between.
    option idle-close-on-response
    option redispatch 1
    retries 3
    # What never reached a container, or found it gone, is asked of another one.
    retry-on conn-failure empty-response
    timeout connect 5s
    timeout queue 5s
    timeout client 50s
    timeout server 50s
    # The whole header has to come within this: slow ones hold no connection for longer.
    timeout http-request 10s
    timeout http-keep-alive 20s
    # A WebSocket may be silent for an hour.
    timeout tunnel 1h
    timeout client-fin 10s

frontend web
{binds}
    tcp-request connection track-sc0 src table clients
    tcp-request connection reject if {{ sc0_conn_cur gt {from_one} }}
    http-request set-var(txn.name) req.hdr(host),field(1,:),lower,rtrim(.)
    http-request set-var(txn.backend) var(txn.name),map_str({backend_map})
    http-request return status 404 content-type text/plain string "no such name here\\n" unless \
{{ var(txn.backend) -m found }}
    http-request set-var(txn.challenge) var(txn.name),map_str({challenge_map}) if \
{{ path_beg /.well-known/acme-challenge/ }}
{redirect}
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-var(txn.prefix) var(txn.name),map_str({prefix_map}) if !{{ var(txn.challenge) -m found }}
    http-request set-path %[var(txn.prefix)]%[path] if {{ var(txn.prefix) -m found }}
    http-request set-var(txn.host) var(txn.name),map_str({host_map}) if !{{ var(txn.challenge) -m found }}
    http-request set-header Host %[var(txn.host)] if {{ var(txn.host) -m found }}
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS }}
    use_backend acme if {{ var(txn.challenge) -m found }}
    use_backend %[var(txn.backend)]

backend clients
    stick-table type ipv6 size 100k expire 1m store conn_cur

backend acme
    server lego 127.0.0.1:1 disabled
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the configuration depends on beside the settings.

    `user` is whom HAProxy's workers run as, "" for whoever started it; `ipv6` whether the kernel has it.
    """

    user: str
    ipv6: bool


def configuration(settings: WebSettings, machine: Machine, files: Files, sites: Sites) -> str:
    """Give the whole file, with all that is served at present."""
    head = _TEMPLATE.format(
        connections=MAX_CONNECTIONS,
        from_one=FROM_ONE_ADDRESS,
        user=f"user {machine.user}\n    group {machine.user}" if machine.user else "",
        directory=files.directory,
        binds="\n".join(_binds(settings, machine, files)),
        redirect=_redirect(settings, files),
        **{f"{name}_map": files.map(name) for name in MAPS},
    )
    return head + "".join(_backends(sites))


def maps(sites: Sites) -> dict[str, str]:
    """Give the content of each map's file."""
    lines: dict[str, list[str]] = {name: [] for name in MAPS}
    for fqdn, site in sites.items():
        for name, value in map_values(site).items():
            lines[name].append(f"{fqdn} {value}\n")
    return {name: "".join(entries) for name, entries in lines.items()}


def certificate_list(sites: Sites, files: Files) -> str:
    """Give the content of the crt-list: each certificate is shown for its one name alone."""
    return "".join(f"{files.certificate(fqdn)} {fqdn}\n" for fqdn, site in sites.items() if site.certificate)


def _binds(settings: WebSettings, machine: Machine, files: Files) -> Iterator[str]:
    tls = f" ssl crt-list {files.certificate_list} strict-sni alpn h2,http/1.1"
    for address, options in ((settings.http, ""), (settings.https, tls)):
        if address is None:
            continue
        hosts = [address.host] if address.host else ["0.0.0.0", *(["::"] if machine.ipv6 else [])]  # noqa: S104 - as configured
        for host in hosts:
            only = " v6only" if host == "::" else ""
            yield f"    bind {_bound(Address(host, address.port))}{only}{options}"


def _bound(address: Address) -> str:
    # HAProxy takes the port behind the last colon, whatever stands before it.
    return f"{address.host}:{address.port}"


def _redirect(settings: WebSettings, files: Files) -> str:
    if settings.https is None:
        return ""
    port = "" if settings.https.port == HTTPS_PORT else f":{settings.https.port}"
    # Temporary, for a publication is: a browser that kept it would ask for TLS after its end.
    return (
        f"    http-request redirect location https://%[var(txn.name)]{port}%[pathq] code 307 "
        f"if !{{ ssl_fc }} {{ var(txn.name),map_str({files.map('secure')}) -m found }} "
        f"!{{ var(txn.challenge) -m found }}"
    )


def _backends(sites: Sites) -> Iterator[str]:
    by_number = {site.backend: site for site in sites.values()}
    for number in range(BACKENDS):
        yield f"\nbackend cluster-{number}\n    balance roundrobin\n"
        if number in by_number:
            site = by_number[number]
            assert backend_name(site) == f"cluster-{number}"
            yield from (f"    server {server.name} {server.line}\n" for server in site.servers)
