"""Singular queries of RFC 9535: which texts are paths, and what they lead to."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.domain.json_paths import ABSENT, JsonPath, PathFault, path_at, string_at

DOCUMENT = {
    "a": {"b": [{"c d": 1}, 2, [3, 4]]},
    "": {"": "empty"},
    "null": None,
    "list": [10, 20, 30],
    "$": "dollar",
    "a.b": "dotted",
    "'": "quote",
    '"': "double",
    "\\": "backslash",
    "☺": "smile",
    "😀": "grin",
    "\n": "line",
    "_": "under",
    "A1": "upper",
    "true": True,
    "0": "zero as a name",
    "é": "composed",
}

# What RFC 9535 says of names, indices, quotes, escapes and blanks, as queries of the document above.
VALID: list[tuple[str, Any]] = [
    ("$", DOCUMENT),
    ("$.a.b[0]['c d']", 1),
    ('$.a.b[0]["c d"]', 1),
    ("$['a']['b'][1]", 2),
    ("$.a.b[2][-1]", 4),
    ("$.a.b[-1][-2]", 3),
    ("$.list[0]", 10),
    ("$.list[-3]", 10),
    ("$.list[3]", ABSENT),
    ("$.list[-4]", ABSENT),
    ("$.list[9007199254740991]", ABSENT),
    ("$.list[-9007199254740991]", ABSENT),
    ("$[0]", ABSENT),
    ("$.list.length", ABSENT),
    ("$.list['0']", ABSENT),
    ("$['0']", "zero as a name"),
    ("$.null", None),
    ("$.null.x", ABSENT),
    ("$.true", True),
    ("$.a.missing", ABSENT),
    ("$[''][\"\"]", "empty"),
    ("$['$']", "dollar"),
    ("$['a.b']", "dotted"),
    ("$['\\'']", "quote"),
    ('$["\'"]', "quote"),
    ("$['\"']", "double"),
    ('$["\\""]', "double"),
    ("$['\\\\']", "backslash"),
    ("$.☺", "smile"),
    ("$['☺']", "smile"),
    ("$['\\u263A']", "smile"),
    ("$['\\u263a']", "smile"),
    ("$['\\uD83D\\uDE00']", "grin"),
    ("$['\\ud83d\\ude00']", "grin"),
    ("$.😀", "grin"),
    ("$['\\n']", "line"),
    ("$._", "under"),
    ("$.A1", "upper"),
    ("$['\\u0041\\u0031']", "upper"),
    ("$['\\/\\b\\f\\r\\t']", ABSENT),
    ("$.é", "composed"),
    ("$.e\u0301", ABSENT),  # no normalisation
    ("$ .a", DOCUMENT["a"]),
    ("$\t.a\n['b']\r[1]", 2),
    ("$[ 'list' ][ 1 ]", 20),
    ("$.list [ -1 ]", 30),
]
INVALID: list[tuple[str, int]] = [
    ("", 0),
    ("a", 0),
    (" $", 0),
    ("$ ", 1),
    ("$.a ", 3),
    ("$.", 2),
    ("$..a", 2),
    ("$. a", 2),
    ("$.1", 2),
    ("$.-a", 2),
    ("$.'a'", 2),
    ("$.a-b", 3),
    ("$.*", 2),
    ("$[*]", 2),
    ("$[]", 2),
    ("$[", 2),
    ("$[0", 3),
    ("$[0,1]", 3),
    ("$['a','b']", 5),
    ("$[0:1]", 3),
    ("$[:]", 2),
    ("$[?@.a]", 2),
    ("$[a]", 2),
    ("$[00]", 2),
    ("$[01]", 2),
    ("$[-0]", 2),
    ("$[-01]", 2),
    ("$[-]", 2),
    ("$[- 1]", 2),
    ("$[+1]", 2),
    ("$[1.0]", 3),
    ("$[1e0]", 3),
    ("$[9007199254740992]", 2),
    ("$[-9007199254740992]", 2),
    ("$['a]", 2),
    ("$[\"a']", 2),
    ("$['\\\"']", 3),
    ('$["\\\'"]', 3),
    ("$['\\a']", 3),
    ("$['\\u12']", 3),
    ("$['\\u12G4']", 3),
    ("$['\\U0041']", 3),
    ("$['\\x41']", 3),
    ("$['\\ud83d']", 3),
    ("$['\\ude00']", 3),
    ("$['\\ud83d\\ud83d']", 3),
    ("$['\\ude00\\ud83d']", 3),
    ("$['\\ud83d\\u0041']", 3),
    ("$['\\ud83dx']", 3),
    ("$['a\nb']", 4),
    ("$['\t']", 3),
    ("$['\0']", 3),
    ("$a", 1),
    ("$$", 1),
    ("$()", 1),
    ("$[0]]", 4),
    ("$[0]a", 4),
    ("$.list[-1", 9),
    ("$.☺[", 4),
]


def parse_path(text: str) -> JsonPath:
    """The path of a text that is nothing else; raises PathFault."""
    path, end = path_at(text, 0)
    if end < len(text):
        raise PathFault("is not a part of a path", end)
    return path


@pytest.mark.parametrize(("query", "value"), VALID)
def test_a_path_leads_to_one_value(query: str, value: Any):
    found = parse_path(query).value_in(DOCUMENT)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("query", "position"), INVALID)
def test_what_is_no_path_to_one_value_is_refused_where_it_goes_wrong(query: str, position: int):
    with pytest.raises(PathFault) as refusal:
        parse_path(query)
    assert refusal.value.position == position


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(0, 5), max_size=6))
def test_any_names_and_indices_can_be_written_and_read(steps: list[str | int]):
    text = "$" + "".join(f"[{json.dumps(step)}]" for step in steps)
    assert parse_path(text).steps == tuple(steps)


@given(st.text(st.sampled_from("$.[]'\"\\u0aé -1d\n"), max_size=40))
def test_any_text_is_a_path_or_a_fault_within_it(text: str):
    try:
        path, end = path_at(text, 0)
    except PathFault as fault:
        position = fault.position
    else:
        assert path.text == text[:end]
        assert parse_path(path.text) == path
        return
    assert 0 <= position <= len(text)


def test_a_string_ends_at_its_own_quote():
    assert string_at("""x 'a"b\\'c' d""", 2) == ("a\"b'c", 10)
