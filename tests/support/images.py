"""Small real images, made of busybox-static, in every format that an archive may have."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfd.protocol.oci import architecture_of

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "cat", "echo", "env", "id", "httpd", "ls", "mkdir", "nc", "sleep", "touch")
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/srv/web:/bin/sh\n"
GROUP = b"root:x:0:\nweb:x:1001:\nmail:x:8:web\n"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker."


def digest(content: bytes) -> str:
    """The content's address."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def directory(name: str) -> tarfile.TarInfo:
    """A directory as a layer's member."""
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    """A link as a layer's member."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def layer(
    files: Mapping[str, bytes], members: Sequence[tarfile.TarInfo] = (), *, after: bool = False
) -> bytes:
    """A layer's tar archive of files and of members without content, which come first or `after` them."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for member in () if after else members:
            archive.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
        for member in members if after else ():
            archive.addfile(member)
    return content.getvalue()


def busybox_layer() -> bytes:
    """A root file system with busybox, a few of its applets, and the users root and web."""
    directories = [directory(name) for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "srv", "srv/web")]
    applets = [link(f"bin/{name}", "busybox") for name in APPLETS]
    files = {"bin/busybox": BUSYBOX.read_bytes(), "etc/passwd": PASSWD, "etc/group": GROUP}
    return layer(files, [*directories, *applets])


def zstandard(content: bytes) -> bytes:
    """The content compressed by zstd(1)."""
    return subprocess.run(["zstd", "-q", "-c"], input=content, stdout=subprocess.PIPE, check=True).stdout


def compressed(content: bytes, how: str) -> bytes:
    """The content compressed by "gzip" or "zstd", or as it is for ""."""
    if how == "zstd":
        return zstandard(content)
    return gzip.compress(content, 1, mtime=0) if how == "gzip" else content


@dataclass(frozen=True)
class Image:
    """An image by its parts: plain layers, how they are compressed, and the config's process."""

    layers: Sequence[bytes]
    process: Mapping[str, object] = field(default_factory=dict)
    compression: str = "gzip"
    architecture: str = field(default_factory=lambda: architecture_of(os.uname().machine))

    @property
    def config(self) -> bytes:
        """The image's config document."""
        rootfs = {"type": "layers", "diff_ids": [digest(content) for content in self.layers]}
        document = {
            "architecture": self.architecture,
            "os": "linux",
            "config": self.process,
            "rootfs": rootfs,
        }
        return json.dumps(document).encode()

    @property
    def digest(self) -> str:
        """The config's digest, which identifies the image."""
        return digest(self.config)

    def blobs(self) -> list[bytes]:
        """The layers as they are stored."""
        return [compressed(content, self.compression) for content in self.layers]

    def manifest(self, blobs: Sequence[bytes], *, docker: bool = False) -> bytes:
        """The manifest, in OCI's or Docker's media types."""
        config_type = f"{DOCKER}container.image.v1+json" if docker else CONFIG
        layer_type = f"{DOCKER}image.rootfs.diff.tar" if docker else LAYER
        if self.compression:
            layer_type += ("." if docker else "+") + self.compression
        document = {
            "schemaVersion": 2,
            "mediaType": f"{DOCKER}distribution.manifest.v2+json" if docker else MANIFEST,
            "config": descriptor(self.config, config_type),
            "layers": [descriptor(content, layer_type) for content in blobs],
        }
        return json.dumps(document).encode()


def descriptor(content: bytes, media_type: str) -> dict[str, object]:
    """What refers to a blob."""
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def busybox_image(
    *,
    entrypoint: Sequence[str] = (),
    command: Sequence[str] = ("sh",),
    environment: Sequence[str] = (),
    user: str = "",
    extra: Sequence[bytes] = (),
    compression: str = "gzip",
    **process: object,
) -> Image:
    """An image that runs on any Linux of this machine's architecture."""
    wishes: dict[str, object] = {"Cmd": list(command), "Env": list(environment), "User": user, **process}
    if entrypoint:
        wishes["Entrypoint"] = list(entrypoint)
    return Image([busybox_layer(), *extra], wishes, compression)


def oci_files(images: Mapping[str, Image], *, docker: bool = False) -> dict[str, bytes]:
    """The files of an OCI layout with these images by their tags."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    entries = []
    for tag, image in images.items():
        blobs = image.blobs()
        manifest = image.manifest(blobs, docker=docker)
        for content in (image.config, manifest, *blobs):
            files["blobs/" + digest(content).replace(":", "/")] = content
        annotations = {"org.opencontainers.image.ref.name": tag} if tag else {}
        entries.append({**descriptor(manifest, MANIFEST), "annotations": annotations})
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return files


def platforms_files(images: Mapping[str, Image], *, nested: bool) -> dict[str, bytes]:
    """The files of an OCI layout with one image for several architectures, as one index or as two."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    entries = []
    for architecture, image in images.items():
        files |= oci_files({"": image})
        manifest = image.manifest(image.blobs())
        entries.append(
            {**descriptor(manifest, MANIFEST), "platform": {"architecture": architecture, "os": "linux"}}
        )
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    if nested:
        files["blobs/" + digest(index).replace(":", "/")] = index
        index = json.dumps({"schemaVersion": 2, "manifests": [descriptor(index, INDEX)]}).encode()
    files["index.json"] = index
    return files


def docker_files(image: Image, names: Sequence[str]) -> tuple[dict[str, bytes], list[tarfile.TarInfo]]:
    """What docker save wrote until version 24: HASH/layer.tar, a repeated layer as a link."""
    files: dict[str, bytes] = {}
    links: list[tarfile.TarInfo] = []
    paths: dict[bytes, str] = {}
    listed = []
    for number, content in enumerate(image.layers):
        path = f"{number:064x}/layer.tar"
        listed.append(path)
        if content in paths:
            links.append(link(path, f"../{paths[content]}"))
        else:
            files[path] = content
            paths[content] = path
    config = f"{image.digest.removeprefix('sha256:')}.json"
    files[config] = image.config
    files["manifest.json"] = json.dumps(
        [{"Config": config, "RepoTags": list(names), "Layers": listed}]
    ).encode()
    return files, links


def docker_oci_files(image: Image, names: Sequence[str]) -> dict[str, bytes]:
    """What docker save writes since version 25: an OCI layout, and its own list beside it."""
    files = oci_files({"latest": image})
    listed = ["blobs/" + digest(content).replace(":", "/") for content in image.blobs()]
    config = "blobs/" + image.digest.replace(":", "/")
    files["manifest.json"] = json.dumps(
        [{"Config": config, "RepoTags": list(names), "Layers": listed}]
    ).encode()
    return files


def archive(path: Path, files: Mapping[str, bytes], links: Sequence[tarfile.TarInfo] = ()) -> Path:
    """Write a tar archive of these files, and give its path."""
    path.write_bytes(layer(files, links, after=True))
    return path


def layout(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write these files under a directory, and give its path."""
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


def busybox_archive(path: Path, **process: object) -> Path:
    """Write an OCI archive of `busybox_image(...)`, and give its path."""
    return archive(path, oci_files({"latest": busybox_image(**process)}))  # type: ignore[arg-type]  # passed on
