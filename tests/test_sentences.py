"""Sentences of errors on screens: in the language of the page, also those with a value in them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kener_async.web.manage
from kener_async.locales.locale import NAMES, SOURCE, locale
from kener_async.web.manage.sentences import PATTERNS, SENTENCES, translated

TRANSLATED = [tag for tag in NAMES if tag != SOURCE]
VALUES = {"seconds": "7", "name": "ada (2) %s", "most": "500", "least": "12", "count": "501"}


@pytest.mark.parametrize("tag", TRANSLATED)
def test_every_sentence_is_shown_in_the_language_of_the_page(tag: str):
    language = locale(tag)
    assert [text for text in SENTENCES if translated(text, language) == text] == []


@pytest.mark.parametrize("tag", TRANSLATED)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_values_in_a_sentence_stay_as_they_are(tag: str, pattern: str):
    language = locale(tag)
    assert translated(pattern % VALUES, language) == language.gettext(pattern) % VALUES
    assert translated(pattern % VALUES, locale(SOURCE)) == pattern % VALUES


def test_any_other_text_is_shown_as_it_is():
    for text in ("", "100%", "%(name)s", "there is no monitor", "is missing today"):
        assert translated(text, locale("de")) == text


def test_the_screens_raise_no_sentence_that_has_no_translation():
    assert [text for text in raised() if text not in SENTENCES] == []


def raised() -> Iterator[str]:
    """The sentences beside fields that are written out in the code of the screens."""
    for file in Path(kener_async.web.manage.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id == "FieldError":
                for argument in node.args:
                    values = argument.values if isinstance(argument, ast.Dict) else [argument]
                    yield from (str(each.value) for each in values if isinstance(each, ast.Constant))
            elif node.func.id == "ValidationError" and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)
