"""The direction of names in texts that have no markup, such as titles, labels and feeds."""

import unicodedata

FIRST_STRONG_ISOLATE, POP_ISOLATE = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
_RIGHT_TO_LEFT = ("R", "AL")


def isolated(name: str) -> str:
    """The name, isolated from the text around it if any of it is written from right to left."""
    if name.isascii() or not any(map(_is_leftward, name)):
        return name
    return f"{FIRST_STRONG_ISOLATE}{name}{POP_ISOLATE}"


def is_right_to_left(text: str) -> bool:
    """Whether its first letter with a direction is written from right to left."""
    directions = map(unicodedata.bidirectional, text)
    return next((direction for direction in directions if direction in ("L", *_RIGHT_TO_LEFT)), "L") != "L"


def _is_leftward(character: str) -> bool:
    return unicodedata.bidirectional(character) in _RIGHT_TO_LEFT
