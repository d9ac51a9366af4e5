"""Which spellings of an image's name mean the same image; both ends must agree on it.

Source: Docker's `distribution/reference` (a name without a host means docker.io, one without a slash there
means library/NAME, one without a tag means the tag "latest").
"""


def canonical(name: str) -> str:
    """Give the one spelling of all that mean the same image: the shortest host and path, and a tag."""
    for prefix in ("index.docker.io/", "docker.io/"):
        name = name.removeprefix(prefix)
    if name.count("/") == 1:
        name = name.removeprefix("library/")
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"
