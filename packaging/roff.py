"""Text as man(7) takes it: each function gives lines, or a part of one."""

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tfd.protocol import __version__

MANUALS = {1: "User Commands", 5: "File Formats", 8: "System Administration"}


def head(name: str, section: int, text: str) -> list[str]:
    """Give the beginning of a page, up to what it is called and what that is."""
    made = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))
    date = time.strftime("%Y-%m-%d", made)
    return [
        f'.TH "{name.upper()}" {section} "{date}" "tfd {__version__}" "{MANUALS[section]}"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{roff(name)} \\- {roff(text)}",
    ]


def roff(text: str) -> str:
    """Give text as it is to be seen: no character of it is a command to roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha")
    return re.sub(r"^\.", r"\\&.", text.replace("~", "\\(ti"), flags=re.MULTILINE)


def marked(text: str) -> str:
    """Give text whose parts in backquotes are typed as they stand."""
    return re.sub(r"`([^`]*)`", r"\\fB\1\\fR", roff(text))


def paragraphs(text: str) -> Iterator[str]:
    """Give paragraphs, which have an empty line between them; lines that their author broke stay broken."""
    for paragraph in text.strip().split("\n\n"):
        yield ".PP"
        yield "\n.br\n".join(marked(line) for line in paragraph.split("\n"))


def tagged(tag: str, text: str) -> list[str]:
    """Give an entry of a list."""
    return [".TP", f"\\fB{roff(tag)}\\fR", marked(text)]


def literal(text: str) -> list[str]:
    """Give lines that stand as they are."""
    return [".PP", ".RS 4", ".nf", *(roff(line) for line in text.rstrip().split("\n")), ".fi", ".RE"]


def section(title: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    """Give a section that is a list; nothing where the list is empty."""
    lines = [line for tag, text in rows for line in tagged(tag, text)]
    return [f".SH {title}", *lines] if lines else []


def see_also(pages: Iterable[str]) -> list[str]:
    """Give the last section, from names such as `tfd(1)`."""
    shown = [
        re.sub(r"^(.*)(\(\d\))$", lambda found: f"\\fB{roff(found[1])}\\fR{found[2]}", page) for page in pages
    ]
    return [".SH SEE ALSO", ", ".join(shown)]


def whole(lines: Iterable[str]) -> str:
    """Give a page's text from its lines; what begins a section begins no paragraph besides."""
    kept: list[str] = []
    for line in lines:
        if line != ".PP" or not kept[-1].startswith((".SH", ".SS")):
            kept.append(line)
    return "\n".join([*kept, ""])
