"""HTML as a tree, so that tests can find elements as a reader does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"base", "br", "hr", "img", "input", "link", "meta"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    def all(self, tag: str = "", **attributes: str) -> list["Element"]:
        """The descendants in document order, with these attributes and the class given as `kind`."""
        kind = attributes.pop("kind", None)
        return [
            element
            for element in self._inner()
            if tag in ("", element.tag)
            and (kind is None or kind in element.attributes.get("class", "").split())
            and attributes.items() <= element.attributes.items()
        ]

    def one(self, tag: str = "", **attributes: str) -> "Element":
        """The only such element."""
        elements = self.all(tag, **attributes)
        assert len(elements) == 1, (tag, attributes, len(elements))
        return elements[0]

    @property
    def text(self) -> str:
        """The text content, on one line."""
        return " ".join(self.content.split())

    @property
    def content(self) -> str:
        """The text content as it is written, such as that of a textarea."""
        return "".join(self._texts())

    def _inner(self) -> Iterator["Element"]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child._inner()

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, Element):
                yield from child._texts()
            else:
                yield child


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"<{self.open[-1].tag}> is ended by </{tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parsed(html: str) -> Element:
    """Parse a document; every element that is not void must have an end tag."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    (document,) = builder.open
    return document
