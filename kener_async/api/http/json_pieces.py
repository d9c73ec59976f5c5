"""Split a large body into its samples, so that they are parsed one by one and never held in memory together.

4 MB of JSON become 100 MB of Python objects when they are empty lists. Here the text is scanned instead,
and only the positions of the samples are kept; sizes, depth and number are limited while scanning.
"""

import re

from kener_async.domain.errors import Invalid

MAX_PIECE = 65_536  # bytes of a sample, of a line, and of all that is beside the samples
MAX_DEPTH = 32
MAX_TOKENS = 2000  # brackets and strings in a sample that has others nested in it

Text = bytes | bytearray
Span = tuple[int, int]  # of a text: the first byte, and that after the last

_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# An object without another object or list in it, which nearly every sample is.
_FLAT = rb'\{[^"{}\[\]]*+(?:' + _STRING + rb'[^"{}\[\]]*+)*+\}'
_FLAT_OBJECT = re.compile(_FLAT, re.DOTALL)
_FLAT_ITEM = re.compile(_FLAT + _SPACE + rb"([,\]])" + _SPACE, re.DOTALL)
_SCALAR = re.compile(_STRING + rb'|[^\s,:"{}\[\]]++', re.DOTALL)
_TOKEN = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_OBJECT_START = re.compile(_SPACE + rb"\{")
_KEY = re.compile(_SPACE + rb"(" + _STRING + rb")" + _SPACE + rb":" + _SPACE, re.DOTALL)
_LIST_START = re.compile(rb"\[" + _SPACE)
_SEPARATOR = re.compile(_SPACE + rb"([,\]}])" + _SPACE)
_LINE = re.compile(rb"[^\s][^\n]*+")


def line_spans(text: Text, maximum: int, too_many: str) -> list[Span]:
    """The lines that are not blank; raises Invalid, with the text `too_many`, for more than `maximum`."""
    spans: list[Span] = []
    for line in _LINE.finditer(text):
        if len(spans) == maximum:
            raise Invalid(too_many)
        spans.append(line.span())
    return spans


def list_spans(text: Text, name: bytes, maximum: int, too_many: str) -> tuple[bytes, list[Span]] | None:
    """The object in a body without the items of the list `name`, and the items; None: it has no such list.

    What is returned was found by its brackets only: each part must still be parsed. Raises Invalid if the
    brackets do not match, and, with the text `too_many`, for more items than `maximum`.
    """
    start = _OBJECT_START.match(text)
    at = None if start is None else start.end()
    while at is not None:
        key = _KEY.match(text, at)
        if key is None:
            return None
        at = key.end()
        if key[1] == b'"%b"' % name and text[at : at + 1] == b"[":
            spans, end = _item_spans(text, at, maximum, too_many)
            return _without(text, at, end), spans
        at = _next_member(text, _value_end(text, at))
    return None


def _without(text: Text, start: int, end: int) -> bytes:
    if start + len(text) - end > MAX_PIECE:
        raise Invalid(f"the body has more than {MAX_PIECE} bytes beside its samples")
    return b"".join((text[:start], b"[]", text[end:]))


def _item_spans(text: Text, start: int, maximum: int, too_many: str) -> tuple[list[Span], int]:
    """The items of the list that begins at a position, and where it ends."""
    spans: list[Span] = []
    opened = _LIST_START.match(text, start)
    assert opened is not None  # noqa: S101 - the caller saw the bracket
    at = opened.end()
    if text[at : at + 1] == b"]":
        return spans, at + 1
    while True:
        if len(spans) == maximum:
            raise Invalid(too_many)
        item = _FLAT_ITEM.match(text, at, at + MAX_PIECE) or _SEPARATOR.match(text, _value_end(text, at))
        if item is None or item[1] == b"}":
            raise Invalid(f"the body is not JSON: a comma or ] is missing after byte {at}")
        spans.append((at, item.start(1)))
        if item[1] == b"]":
            return spans, item.end(1)
        at = item.end()


def _next_member(text: Text, at: int) -> int | None:
    """The position of the object's next key; None if there is none."""
    separator = _SEPARATOR.match(text, at)
    return separator.end() if separator is not None and separator[1] == b"," else None


def _value_end(text: Text, start: int) -> int:
    """The end of the value that begins here; raises Invalid if there is none, or it is too large or deep."""
    limit = start + MAX_PIECE
    simple = _FLAT_OBJECT.match(text, start, limit) or _SCALAR.match(text, start, limit)
    if simple is not None:
        return simple.end()
    depth = 0
    for count, token in enumerate(_TOKEN.finditer(text, start, limit)):
        if depth == 0 and (token.start() != start or token[0] not in (b"{", b"[")):
            break
        if count > MAX_TOKENS:
            raise Invalid("the body has a value with too much nested in it")
        if token[0] in (b"{", b"["):
            depth += 1
        elif token[0] in (b"}", b"]"):
            depth -= 1
        if depth > MAX_DEPTH:
            raise Invalid("the body is nested too deeply")
        if depth == 0:
            return token.end()
    if len(text) > limit:
        raise Invalid(f"the body has a value of more than {MAX_PIECE} bytes at byte {start}")
    raise Invalid(f"the body is not JSON: a value is missing or cut short at byte {start}")
