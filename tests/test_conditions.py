"""Conditions: which texts are some, what they mean of an attempt, and the words for those that fail."""

import json
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.domain.conditions import (
    KINDS,
    LONGEST_CONDITION,
    ConditionFault,
    Observed,
    Value,
    at_most,
    first_fault,
    parse,
)
from kener_async.domain.json_paths import ABSENT
from tests.soak import conditions as soak

BODY = {
    "status": "ok",
    "queue": 150,
    "ratio": 0.5,
    "big": 10**40,
    "up": True,
    "error": None,
    "tags": ["red", "green", 3, None],
    "user": {"name": "Ada", "roles": []},
    "text": "12",
}
VALUES: Mapping[str, Value] = {
    "status": 502,
    "latency": timedelta(milliseconds=812),
    "body": json.dumps(BODY),
    "url": "https://shop.example.org/login",
    "ip": "192.0.2.1",
    "certificate": timedelta(days=12, hours=3),
    "records": frozenset({"10 mail.example.org", "20 backup.example.org"}),
    "rcode": "NOERROR",
    "loss": 1 / 3,
    "answer": "+PONG\r\n",
}
OBSERVED = Observed(VALUES, {"content-type": "text/html; charset=utf-8", "x-empty": ""})


def fault(text: str, observed: Observed = OBSERVED) -> str:
    return parse(text).fault(observed)


@pytest.mark.parametrize(
    "text",
    [
        "status == 502",
        "status==502",
        "  status  >=  502  ",
        "status == any(200, 502)",
        "status != any(200, 204)",
        "status < 1e3",
        "latency < 1s",
        "latency < 813ms",
        "latency >= 812ms",
        "latency != 1m30s",
        "latency > 0s",
        "certificate > 12d",
        "certificate <= 12d3h",
        "certificate > -1d",
        "body contains 'queue'",
        "body contains all('queue', 'Ada')",
        "body contains any('nothing', 'Ada')",
        "body not contains 'error:'",
        "body not contains any('x1', 'x2')",
        "body not contains all('queue', 'x2')",
        'body like \'*"NAME": "a?a"*\'',
        "body not like 'queue'",
        "json $.status == 'ok'",
        'json $.status == "ok"',
        "json $.status == any('fine', 'ok')",
        "json $.status > 'oj'",
        "json $.queue > 149.5",
        "json $.ratio == 0.5",
        "json $.queue == 150.0",
        "json $.big > 1e39",
        "json $.up == true",
        "json $.up != false",
        "json $.error == null",
        "json $.error == any('none', null)",
        "json $.tags contains 'red'",
        "json $.tags contains all('red', 3, null)",
        "json $.tags not contains 'blue'",
        "json $.tags[-2] == 3",
        "json $['user'] ['name'] like 'ADA'",
        "exists json $.error",
        "not exists json $.missing",
        "not exists json $.tags[9]",
        "header 'Content-Type' contains 'text/html'",
        'header "CONTENT-TYPE" like "text/*"',
        "exists header 'X-Empty'",
        "not exists header 'X-None'",
        "url like 'https://*/login'",
        "ip == '192.0.2.1'",
        "records == all('20 backup.example.org', '10 mail.example.org')",
        "records != '10 mail.example.org'",
        "records contains '10 mail.example.org'",
        "records contains any('1', '20 backup.example.org')",
        "records not contains all('1', '20 backup.example.org')",
        "records like '* mail.example.org'",
        "rcode == 'NOERROR'",
        "loss < 0.5",
        "answer contains 'PONG\\r'",
        "length(json $.tags) == 4",
        "length(json $.user) == 2",
        "length(json $.user.roles) == 0",
        "length(json $.text) == 2",
        "length( records ) == 2",
        "length(body) > 10",
    ],
)
def test_a_condition_that_holds(text: str):
    assert fault(text) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("status < 400", "status is 502"),
        ("status == any(200, 204)", "status is 502"),
        ("latency < 800ms", "latency is 812 ms"),
        ("certificate > 14d", "certificate is 12d 3h"),
        ("json $.queue <= 100", "json $.queue is 150"),
        ("json $.status == 'up'", 'json $.status is "ok"'),
        ("json $.text == 12", 'json $.text is "12", not a number'),
        ("json $.text != 13", 'json $.text is "12", not a number'),
        ("json $.text < 13", 'json $.text is "12", not a number'),
        ("json $.up == 1", "json $.up is true, not a number"),
        ("json $.queue == true", "json $.queue is 150, not true or false"),
        ("json $.error != 'x'", "json $.error is null, not text"),
        ("json $.user == any(1, 'x')", "json $.user is an object, not a number or text"),
        ("json $.tags == 'red'", "json $.tags is a list, not text"),
        ("json $.tags contains 'blue'", 'json $.tags does not contain "blue"'),
        ("json $.tags not contains 'red'", 'json $.tags contains "red"'),
        ("json $.text not contains 3", 'json $.text is "12", not a list'),
        ("json $.queue not like 'x'", "json $.queue is 150, not text"),
        ("json $.missing == 1", "json $.missing: is not there"),
        ("json $.missing != 1", "json $.missing: is not there"),
        ("json $.missing < 1", "json $.missing: is not there"),
        ("json $.missing not contains 'x'", "json $.missing: is not there"),
        ("exists json $.missing", "json $.missing: is not there"),
        ("not exists json $.error", "json $.error: is there"),
        ("header 'X-None' != 'x'", "header 'X-None': is not there"),
        ("header 'Content-Type' == 'x'", "header 'Content-Type' is \"text/html; charset=utf-8\""),
        ("length(json $.queue) == 1", "length(json $.queue): a number has no length"),
        ("length(json $.missing) == 0", "length(json $.missing): is not there"),
        ("length(json $.tags) > 4", "length(json $.tags) is 4"),
        (
            "records == all('10 mail.example.org')",
            'records are "10 mail.example.org", "20 backup.example.org"',
        ),
        ("records == any('10 mail.example.org', 'x')", 'records are "10 mail'),
        ("records contains '30 x'", 'records does not contain "30 x"'),
        ("loss == 0", "loss is 0.333"),
        ("body contains 'all is well'", 'body does not contain "all is well"'),
        ("body == 'fine'", 'body is not "fine"'),
        ("body < 'a'", 'body is not < "a"'),
        ("answer != '+PONG\\r\\n'", 'answer is "+PONG  "'),
        ("answer == '+OK'", 'answer is not "+OK"'),
        ("url not like '*login'", 'url is like "*login"'),
    ],
)
def test_one_that_does_not_says_why(text: str, reason: str):
    assert fault(text).startswith(reason)


def test_a_reason_shows_no_body_and_is_one_line():
    secret = Observed({"body": "s3cret", "answer": "s3cret\n"}, {"x": "a\nb\x00" + "x" * 500})
    for text in (
        "body == 'x'",
        "body < 'a'",
        "answer contains 'x'",
        "body like 'x'",
        "length(body) == 1",
    ):
        assert "s3cret" not in fault(text, secret)
    reason = fault("header 'X' == 'x'", secret)
    assert reason.isprintable()
    assert len(reason) < 100


@pytest.mark.parametrize(
    "body",
    ["", "<html>", "[" * 100_000, "NaN", '{"a": Infinity}', "9" * 5000, '{"a": 1', "\ufeff{", "null x"],
)
def test_what_is_no_json_has_no_values(body: str):
    observed = Observed({"body": body}, {})
    assert fault("json $.a < 1", observed) == "json $.a: is not there"
    assert fault("not exists json $.a", observed) == ""
    assert observed.document() is ABSENT


def test_a_body_is_parsed_once_and_with_a_byte_order_mark_too(monkeypatch: pytest.MonkeyPatch):
    observed = Observed({"body": '\ufeff{"a": 1}'}, {})
    assert fault("json $.a == 1", observed) == ""
    monkeypatch.setattr(json, "loads", None)
    assert fault("json $.a == 1", observed) == ""


def test_the_first_that_does_not_hold_is_the_reason():
    conditions = [parse("status == 502"), parse("loss == 0"), parse("latency < 1ms")]
    assert first_fault(conditions, OBSERVED).startswith("loss is")
    assert first_fault(conditions[:1], OBSERVED) == ""


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "needs a value here"),
        ("statu == 200", 1, 'did you mean "status"?'),
        ("Status == 200", 1, "needs a value here"),
        ("status", 7, "needs a comparison here"),
        ("status = 200", 8, "two compare: =="),
        ("status === 200", 8, "needs a comparison here"),
        ("status ==", 10, "needs a number"),
        ("status == 0x1f4", 11, "is no number"),
        ("status == 007", 11, "is no number"),
        ("status == 1e999", 11, "is no number"),
        ("status == ok", 11, "a text needs quotes"),
        ("status == '200'", 11, "status is compared with a number, not text"),
        ("status == 30s", 11, "status is compared with a number, not a duration"),
        ("status == any()", 15, "needs a number"),
        ("status == any(200", 18, "needs ) here"),
        ("status == any(200, 's')", 20, "status is compared with a number"),
        ("status == all(200, 201)", 11, "a value equals one thing only"),
        ("status < any(200, 201)", 10, "any(...) goes with"),
        ("status contains 2", 8, "status is a number, contains is for text"),
        ("latency < 800", 11, "a duration, such as 500ms"),
        ("latency < 1.5s", 11, "is no number, and no duration"),
        ("latency < 30s1m", 11, "is no number, and no duration"),
        ("latency < 999999999y", 11, "is no number, and no duration"),
        ("records < 'a'", 9, "a set of texts, which has no order"),
        ("records == 1", 12, "records is compared with text"),
        ("body == true", 9, "body is compared with text"),
        ("json $.a[*] == 1", 10, "a path leads to one value"),
        ("json a == 1", 6, "a path begins with $"),
        ("json $.a < true", 12, "true or false has no order"),
        ("json $.a < 5m", 12, "JSON has no durations"),
        ("json $.a != null", 13, "null is the only value of its type"),
        ("json $.a like 3", 15, "like compares with text"),
        ("json $.a == 'x", 13, "the text has no ' at its end"),
        ("json $.a == 'x\\q'", 15, "is no escape"),
        ("header X == 'a'", 8, "needs the name of a header in quotes"),
        ("length(status) == 3", 8, "length is that of"),
        ("length json $.a == 3", 8, "needs ( here"),
        ("not status == 1", 5, "needs exists here"),
        ("body not == 'a'", 10, "needs contains or like after not"),
        ("exists", 7, "needs a value here"),
        ("exists json $.a == 1", 17, "is more than one condition"),
        ("status == 200 or status == 204", 15, "is more than one condition"),
        ("status == any(any(1), 2)", 15, "a text needs quotes"),
        ("x" * 5000, LONGEST_CONDITION + 1, "is longer than"),
    ],
)
def test_a_text_that_is_none_is_refused_with_its_column(text: str, column: int, words: str):
    with pytest.raises(ConditionFault) as refusal:
        parse(text)
    assert words in str(refusal.value)
    assert refusal.value.column == column


PIECES = st.sampled_from(
    [
        *KINDS,
        *("==", "!=", "<", "<=", ">", ">=", "not", "exists", "contains", "like", "any(", "all(", ")", ","),
        *(
            "length(",
            "$",
            ".a",
            "[0]",
            "['b']",
            "'text'",
            '"',
            "'",
            "\\u12",
            "1",
            "-1.5",
            "30s",
            "true",
            "null",
        ),
        *(" ", "\n", "$.a", "é", "\0", "\ud800", "😀"),
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join) | st.lists(PIECES, max_size=12).map(" ".join) | st.text())
def test_any_text_is_a_condition_or_a_fault_with_a_column(text: str):
    try:
        condition = parse(text)
    except ConditionFault as refused:
        column = refused.column
    else:
        assert isinstance(condition.fault(OBSERVED), str)
        assert isinstance(condition.fault(Observed({}, {})), str)
        assert parse(condition.text) == condition
        return
    assert 1 <= column <= len(text) + 1


def test_the_long_test_of_random_texts_finds_nothing_in_some():
    """In short; `make soak` has 100,000."""
    conditions, faults = soak.run(2000, seed=7)
    assert faults == []
    assert conditions > 200


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["==", "!=", "<", ">", "contains", "like", "not like", "not contains"]))
def test_no_body_makes_an_error_and_a_comparison_and_its_contrary_never_both_hold(value: Any, sign: str):
    observed = Observed({"body": json.dumps({"a": value})}, {})
    operand = "'x'" if "like" in sign else "1"
    held = not fault(f"json $.a {sign} {operand}", observed)
    contrary = {"==": "!=", "!=": "==", "<": ">=", ">": "<=", "contains": "not contains", "like": "not like"}
    other = contrary.get(sign, sign.removeprefix("not "))
    assert not (held and not fault(f"json $.a {other} {operand}", observed))


# Patterns


@given(
    st.text(st.sampled_from("aAbÄ\n"), max_size=12),
    st.text(st.sampled_from("abä*?"), max_size=8),
)
def test_a_pattern_is_what_it_says(text: str, pattern: str):
    def matches(text: str, pattern: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(matches(text[begin:], pattern[1:]) for begin in range(len(text) + 1))
        return bool(text) and pattern[0] in ("?", text[0]) and matches(text[1:], pattern[1:])

    held = not fault(f"body like {json.dumps(pattern)}", Observed({"body": text}, {}))
    assert held is matches(text.casefold(), pattern.casefold())


def test_a_pattern_takes_time_linear_in_the_text():
    def seconds(size: int) -> float:
        observed = Observed({"body": "a" * size}, {})
        condition = parse("body like '*a*a*a*a*a*a*a*a*a*b'")
        began = time.perf_counter()
        for _ in range(5):
            condition.fault(observed)
        return time.perf_counter() - began

    small = min(seconds(50_000) for _ in range(3))
    assert min(seconds(500_000) for _ in range(3)) < 40 * small + 0.01


# What others know


@pytest.mark.parametrize(
    ("gatus", "ours", "values", "holds"),
    [
        ("[STATUS] == 200", "status == 200", {"status": 200}, True),
        ("[STATUS] == 200", "status == 200", {"status": 500}, False),
        ("[STATUS] == any(200, 429)", "status == any(200, 429)", {"status": 429}, True),
        ("[STATUS] < 300", "status < 300", {"status": 201}, True),
        ("[STATUS] >= 500", "status >= 500", {"status": 499}, False),
        ("[IP] == 127.0.0.1", "ip == '127.0.0.1'", {"ip": "127.0.0.1"}, True),
        ("[RESPONSE_TIME] < 500", "latency < 500ms", {"latency": timedelta(milliseconds=50)}, True),
        ("[RESPONSE_TIME] < 500", "latency < 500ms", {"latency": timedelta(milliseconds=750)}, False),
        ("[BODY] == test", "body == 'test'", {"body": "test"}, True),
        ("[BODY].status == UP", "json $.status == 'UP'", {"body": '{"status":"UP"}'}, True),
        (
            "[BODY].user.name == john",
            "json $.user.name == 'john'",
            {"body": '{"user":{"name":"john"}}'},
            True,
        ),
        ("[BODY].data[0].id == 1", "json $.data[0].id == 1", {"body": '{"data":[{"id":1}]}'}, True),
        ("[BODY][0].id == 1", "json $[0].id == 1", {"body": '[{"id":1}]'}, True),
        ("[BODY].id > 0", "json $.id > 0", {"body": '{"id":1}'}, True),
        ("[BODY].id > 5", "json $.id > 5", {"body": '{"id":1}'}, False),
        ("[BODY].name == any(a, b)", "json $.name == any('a', 'b')", {"body": '{"name":"b"}'}, True),
        ("len([BODY].data) < 5", "length(json $.data) < 5", {"body": '{"data":[1,2,3]}'}, True),
        ("len([BODY]) == 4", "length(body) == 4", {"body": "test"}, True),
        ("len([BODY].name) == 8", "length(json $.name) == 8", {"body": '{"name":"john.doe"}'}, True),
        ("has([BODY].errors) == false", "not exists json $.errors", {"body": "{}"}, True),
        ("has([BODY].errors) == true", "exists json $.errors", {"body": '{"errors":[]}'}, True),
        ("[BODY].name == pat(john*)", "json $.name like 'john*'", {"body": '{"name":"john.doe"}'}, True),
        ("[BODY] == pat(*success*)", "body like '*success*'", {"body": "a success, it is"}, True),
        ("[BODY] == pat(*<h1>*)", "body contains '<h1>'", {"body": "<h2>"}, False),
        ("[CERTIFICATE_EXPIRATION] > 48h", "certificate > 48h", {"certificate": timedelta(days=3)}, True),
        ("[CERTIFICATE_EXPIRATION] > 48h", "certificate > 48h", {"certificate": timedelta(hours=1)}, False),
        ("[DNS_RCODE] == NOERROR", "rcode == 'NOERROR'", {"rcode": "NXDOMAIN"}, False),
        ("[CONNECTED] == true", "exists ip", {"ip": "192.0.2.1"}, True),
        # Where Gatus counts what is missing, or no number, as 0, and so is content:
        ("[BODY].queue < 100", "json $.queue < 100", {"body": "<html>502 Bad Gateway</html>"}, False),
        ("[BODY].queue < 100", "json $.queue < 100", {"body": '{"queue":"many"}'}, False),
        ("[BODY].queue != 5", "json $.queue != 5", {"body": "{}"}, False),
        ("[BODY].a == 1", "json $.a == 1", {"body": '{"a":"1"}'}, False),
    ],
)
def test_conditions_of_gatus_in_our_words(gatus: str, ours: str, values: dict[str, Any], holds: bool):
    assert (fault(ours, Observed(values, {})) == "") is holds, gatus


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("json $.a == 1", {"json", "body"}),
        ("length(json $.a) == 1", {"json", "body"}),
        ("not exists json $.a", {"json", "body"}),
        ("length(body) > 1", {"body"}),
        ("header 'a' == 'b'", {"header"}),
        ("latency < 1s", {"latency"}),
    ],
)
def test_a_condition_says_what_it_reads(text: str, reads: set[str]):
    assert parse(text).reads == reads


def test_a_limit_is_a_condition():
    limit = at_most("latency", timedelta(seconds=0.5))
    assert limit.fault(OBSERVED) == "latency is 812 ms"
    assert at_most("latency", timedelta(seconds=0.812)).fault(OBSERVED) == ""
