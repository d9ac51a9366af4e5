"""Numbers as they are typed: 10G, 1d."""

import argparse
import re
from typing import Final

_SIZES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SPANS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def size(text: str) -> int:
    """Give bytes; the units K, M, G and T are binary. Raises ArgumentTypeError."""
    match = re.fullmatch(r"([0-9]{1,15})([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is bytes, or a number with K, M, G or T")
    return int(match[1]) * _SIZES[match[2].upper()]


def seconds(text: str) -> int:
    """Give seconds. Raises ArgumentTypeError."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    if match is None or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is seconds, or a number with s, m, h or d")
    return int(match[1]) * _SPANS[match[2]]


def count(text: str) -> int:
    """Give a number from 1 on. Raises ArgumentTypeError."""
    if re.fullmatch(r"0*[1-9][0-9]{0,8}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is a number from 1 on")
    return int(text)
