"""Lists of the signed-in side: pages of them, and addresses with another filter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from kener_async.domain.errors import Invalid, NotFound
from kener_async.web.manage.frame import ManagePage

T = TypeVar("T")

PER_PAGE = 50
LONGEST_QUERY = 200  # characters of a text that is searched for
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class PageLinks:
    """The page of a list that is shown, and the addresses of those beside it; empty: there is none."""

    number: int
    last: int
    previous: str
    following: str

    @classmethod
    def of(cls, shown: ManagePage, number: int, last: int) -> "PageLinks":
        """The pager of a page of a list, of which there are `last`."""
        before = with_query(shown, page=number - 1) if number > 1 else ""
        after = with_query(shown, page=number + 1) if number < last else ""
        return cls(number, last, before, after)


@dataclass(frozen=True, slots=True)
class CursorLinks:
    """The ends of a list whose length is not counted: addresses, empty where there is none."""

    newest: str
    older: str

    @classmethod
    def of(cls, shown: ManagePage, ids: Sequence[int]) -> "CursorLinks":
        """Those of a page that begins after the id `before`, for which one more than PER_PAGE was read."""
        older = with_query(shown, before=ids[PER_PAGE - 1]) if len(ids) > PER_PAGE else ""
        return cls(with_query(shown, before=None) if "before" in shown.query else "", older)


def paged(shown: ManagePage, items: Sequence[T]) -> tuple[Sequence[T], PageLinks]:
    """The items of the page that the query names by `page`, and where it is among all; raises NotFound."""
    last = max(1, -(-len(items) // PER_PAGE))
    number = min(page_number(shown.query.get("page", "1")), last)
    return items[(number - 1) * PER_PAGE : number * PER_PAGE], PageLinks.of(shown, number, last)


def query_text(shown: ManagePage, name: str) -> str:
    """A text of the query string; empty without one."""
    return shown.query.get(name, "").strip()[:LONGEST_QUERY]


def query_choice(shown: ManagePage, name: str, choices: Mapping[str, T], default: T) -> T:
    """What a word of the query string stands for; the default without it, or for an unknown one."""
    return choices.get(shown.query.get(name, ""), default)


def query_number(shown: ManagePage, name: str) -> int | None:
    """A positive number of the query string; None without one. Raises Invalid."""
    text = shown.query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= LARGEST_ID):
        raise Invalid(f"{name}: must be a number")
    return int(text)


def with_query(shown: ManagePage, /, **changed: Any) -> str:
    """The address of this page with other values in its query; "" and None leave one out."""
    kept = {name: value for name, value in shown.query.items() if name not in ("page", "done")}
    values = {name: value for name, value in {**kept, **changed}.items() if value not in ("", None)}
    query = f"?{urlencode(values)}" if values else ""
    return shown.address(shown.path) + query


def page_number(text: str) -> int:
    """The number of a page in a query; raises NotFound."""
    if not (text.isascii() and text.isdecimal()) or not 0 < len(text) < 7 or int(text) < 1:
        raise NotFound("there is no such page")
    return int(text)
