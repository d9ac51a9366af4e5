"""UUIDs of objects that were made without one: the same 22 characters each time."""

from hashlib import blake2b

from tfd.protocol.command_types import UUID_ALPHABET

LENGTH = 22


def derived(*identity: str) -> str:
    """Give the UUID of what these texts identify, in order; other texts give another one.

    It is BLAKE2b (RFC 7693) of the texts, written in the alphabet of the SDK's own random ids.
    """
    text = "\0".join(identity).encode()
    number = int.from_bytes(blake2b(text, digest_size=24, person=b"tfd uuid").digest(), "big")
    characters = []
    for _ in range(LENGTH):
        number, index = divmod(number, len(UUID_ALPHABET))
        characters.append(UUID_ALPHABET[index])
    return "".join(characters)
