"""Text that others wrote, made fit for a log or a terminal."""


def printable(text: str) -> str:
    """Give text that moves no cursor and breaks no line: `?` stands for what cannot be printed."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
