"""The page as text: nothing that a location or a log says becomes a part of it."""

from html.parser import HTMLParser

from hypothesis import example, given
from hypothesis import strategies as st

from tests.tfd.metrics.documents import document
from tfd.metrics.history import History
from tfd.metrics.page import escape, main_part, whole
from tfd.metrics.recent import Recent

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{main}}{{nonce}}&lt;"


class Elements(HTMLParser):
    """Collects the elements of a document with their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element."""
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        """Take text."""
        self.text += data


def parsed(name: str, text: str) -> Elements:
    """Give what a parser sees of a page that has a name and a text everywhere."""
    page = whole(
        "<html><title>{{title}}</title>{{main}}<script nonce='{{nonce}}'></script></html>",
        name,
        main_part(document(name, text), History(), [Recent(0.0, "info", text)]),
        "abc",
    )
    elements = Elements()
    elements.feed(page)
    return elements


def shape(found: Elements) -> list[tuple[str, tuple[str, ...]]]:
    """Give the elements and their attributes."""
    return found.found


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
@example(HOSTILE, HOSTILE)
def test_no_text_makes_an_element(name: str, text: str) -> None:
    """The page's elements and attributes are the same whatever the names and texts are."""
    assert shape(parsed(name, text)) == shape(parsed("web", "text"))


def test_hostile_text_is_shown_as_it_is() -> None:
    """All of it, for who reads the page."""
    assert HOSTILE in parsed("web", HOSTILE).text


def test_while_it_starts_the_summary_stands_once() -> None:
    """The page's head says it, and not its badge as well."""
    summary = "1 of 2 containers good, and a long reason"
    starting = {**document("web", ""), "ready": False, "summary": summary}

    assert main_part(starting, History(), []).count(summary) == 1


@given(st.text(max_size=200))
def test_escaped_text_is_one_printable_line(text: str) -> None:
    """No quote, no angle bracket, no control character is left."""
    assert not set("<>\"'\n\r\0") & set(escape(text))
    assert escape(text).isprintable()
