"""Keys and certificates of one run: P-256, an authority of its own, both ends known to each other."""

from pathlib import Path

from bench.compare.processes import run


def make_certificates(directory: Path) -> None:
    """Make authority.crt, and far and client as .crt, and as .pem with their key."""
    new: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes"]
    new += ["-pkeyopt", "ec_paramgen_curve:P-256"]
    certificate, key = directory / "authority.crt", directory / "authority.key"
    run([*new, "-subj", "/CN=authority", "-out", certificate, "-keyout", key])
    signed = [*new, "-CA", certificate, "-CAkey", key, "-addext", "basicConstraints=critical,CA:FALSE"]
    for name in ("far", "client"):
        pem, own = directory / f"{name}.pem", directory / f"{name}.crt"
        subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
        run([*signed, *subject, "-out", own, "-keyout", pem])
        with pem.open("a") as file:
            file.write(own.read_text())


def make_ssh_keys(directory: Path, host: str, port: int) -> None:
    """Make host.key and client.key, and known_hosts for that host and port."""
    for name in ("host", "client"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / f"{name}.key"])
    public = (directory / "host.key.pub").read_text()
    (directory / "known_hosts").write_text(f"[{host}]:{port} {public}")
