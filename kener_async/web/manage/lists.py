"""Lists of the signed-in side: pages of them, and addresses with another filter."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kener_async.domain.errors import NotFound
from kener_async.web.manage.frame import ManagePage


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
