"""The page that started the project, and the programs and commands that it prints."""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deploying-to-production.rst"


def literal_blocks(text: str) -> list[str]:
    """Give the literal blocks of a reStructuredText document (docutils, "Literal Blocks"), unindented."""
    blocks: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        inside = inside and (not line.strip() or line.startswith(" "))
        if inside:
            blocks[-1].append(line)
        elif line.rstrip().endswith("::"):
            inside = True
            blocks.append([])
    return [_unindented(block) for block in blocks]


def _unindented(lines: list[str]) -> str:
    cut = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[cut:] for line in lines).strip("\n") + "\n"


def block_with(words: str) -> str:
    """Give the page's one literal block that contains `words`."""
    (found,) = (block for block in literal_blocks(PAGE.read_text()) if words in block)
    return found


def command(words: str) -> str:
    """Give `words` back, a command, where the page has it between back-quotes as it stands."""
    assert f"`{words}`" in PAGE.read_text(), f"the page does not say {words}"
    return words
