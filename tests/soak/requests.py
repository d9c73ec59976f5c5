"""Hostile requests, made at random from a seed, for every route of the program.

A request has the values that a route expects, and a few that it does not: numbers beyond 64 bits, bytes
that are no text, bodies that are cut short. The routes are those of the app, so that a new one is covered
by itself.
"""

import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, quote_from_bytes

UUID = "5b1cb2a0-4d0e-4f4f-9a55-6ce4a1e0d7c1"
PING_KEY = "mQ3tXq0cV8hYbN2wLr5sKg"
PUSH_TOKEN = "Yz4kT9dRw1"
GATUS_KEY, GATUS_TOKEN = "core_database-backup", "u7Wd0PzQ4sXe"
TAGS = ("earth", "mars", "hidden")

SENDERS = f"""
[[monitors]]
tag = "earth"
description = "Our **home**"
category = "Planets"
[monitors.heartbeat]
interval = "5m"
[monitors.healthchecks]
uuid = "{UUID}"
ping_key = "{PING_KEY}"
slug = "backup"
[monitors.uptime_kuma]
token = "{PUSH_TOKEN}"
[monitors.gatus]
key = "{GATUS_KEY}"
token = "{GATUS_TOKEN}"
[[monitors]]
tag = "mars"
latency_unit = "ms"
default_status = "UP"
[[monitors]]
tag = "hidden"
hidden = true
[[categories]]
name = "Planets"
"""

INTEGERS = (
    -(2**63) - 1,
    -1,
    0,
    1,
    59,
    2**31,
    253402127999,
    253402300800,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
)
NUMBERS = (
    "1e308",
    "1.7e308",
    "-0.0",
    "1e-320",
    "1E400",
    "NaN",
    "-Infinity",
    "0x10",
    "\u0661",
    "1_0",
    "+5",
    "",
)
TEXTS: tuple[str, ...] = (
    *(
        "",
        " ",
        "\0",
        "\x1b[2J",
        "\r\nX-A: b",
        "earth ",
        "EARTH",
        "..",
        ".",
        "/",
        "%",
        "%zz",
        "%00",
        "\\",
        "{}",
        "[]",
    ),
    *(
        "<script>alert(1)</script>",
        "{{7*7}}",
        "{% raw %}",
        "' OR 1=1 --",
        '"',
        "&",
        "a" * 300,
        "[" * 1500,
        "`" * 200,
    ),
    *(
        "\u202e\u05d0\u05d1",
        "\U0001f600" * 20,
        "\u0130\u0131\u00df",
        "\ufeff",
        "\ufffe",
        "e\u0301" * 30,
        "\u2028",
    ),
    *(
        "../../etc/passwd",
        "C:\\x",
        "~",
        "-1",
        "null",
        "true",
        "undefined",
        "1e999",
        "UTC\0",
        "Europe/Berlin",
        "Etc/GMT+12",
    ),
    *(
        "2025-02-30",
        "9999-12-31",
        "0000-00-00",
        "0001-01-01",
        "9999-12",
        "0001-01",
        "2025-13",
        "2025-11",
        "12345-01",
    ),
)
BYTES = (b"\xff", b"\xc0\xae", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9")
HOSTS = (
    *(
        "localhost",
        "EXAMPLE.org",
        "a:1",
        "a:0",
        "a:65535",
        "a:65536",
        "a:99999",
        "[::1]",
        "[::1]:80",
        "[1.2.3.4]",
        "[v1.x]",
    ),
    *(
        "[::ffff:1.2.3.4]",
        "[fe80::1%25eth0]",
        "xn--zzzzzz",
        "xn--",
        "xn--a.b",
        ".",
        "-",
        "a..b",
        "_",
        "1.2.3.4.5",
        "a" * 300,
    ),
    *(
        "0x7f.1",
        "256.256.256.256",
        "localhost.",
        "a_b",
        "--",
        "a-",
        "xn--nxasmq6b",
        "example.org:",
        "é.org",
        "a b",
        "a/b",
        "",
    ),
)
HEADERS: Mapping[str, Sequence[str]] = {
    "Accept": (
        "text/html",
        "application/json",
        "*/*",
        "text/html;q=x",
        ";;;",
        "*" * 2000,
        "image/*, */*;q=0",
    ),
    "Accept-Encoding": (
        "gzip",
        "br",
        "gzip;q=0",
        "identity;q=0, *;q=0",
        "zstd, br;q=1e9",
        "gzip;q=nan",
        ",,,",
    ),
    "Accept-Language": (
        "de",
        "zh-TW",
        "xx",
        "*",
        "en;q=x",
        "de" + ",de" * 500,
        "a-" * 900,
        "ar-EG;q=1.5",
        "\u00e9",
    ),
    "If-None-Match": ("*", '"x"', 'W/"x"', '"', ",,,", '"a", "b", W/"c"', "x" * 3000),
    "If-Modified-Since": ("Thu, 01 Jan 1970 00:00:00 GMT", "never", "Fri, 31 Dec 9999 23:59:60 GMT", "0"),
    "Range": ("bytes=0-1", "bytes=-1", "bytes=9-1", "bytes=a-b", "bytes=0-99999999999999999999", "lines=1"),
    "Cookie": ("theme=dark", "=", ";;;", "a=\u00e9", "x" * 4000, 'a="\\"', "locale=../../x"),
    "Content-Type": (
        "application/json",
        "application/x-ndjson",
        "text/csv",
        ";;;",
        "a/b; charset=hex",
        "multipart/form-data",
    ),
    "Content-Encoding": ("identity", "gzip", "br", "identity", "gzip, gzip", ""),
    "Origin": ("null", "https://example.org", "x", "\u00e9"),
    "Access-Control-Request-Method": ("GET", "DELETE", "x y", ""),
    "Access-Control-Request-Headers": ("authorization", "x" * 500, "\u00e9", ","),
    "X-Forwarded-For": (
        "1.2.3.4",
        "unknown",
        "1.2.3.4:80",
        '"[::1]:4711"',
        "," * 50,
        "::ffff:1.2.3.4",
        "999.1.1.1",
        "\u00e9",
    ),
    "X-Forwarded-Host": HOSTS,
    "X-Forwarded-Proto": ("https", "http, https", "javascript", ""),
    "Forwarded": ("for=1.2.3.4", 'for="[::1]";host=x', "for=", ";"),
    "Expect": ("100-continue", "200-ok", ""),
    "User-Agent": ("curl/8", "\u00e9", "x" * 3000),
    "Referer": ("https://example.org/\u00e9", "x"),
    "Upgrade": ("websocket", "h2c"),
    "Connection": ("keep-alive", "upgrade", "close, x"),
    "X-Note": ("\u00e9\u4e16", "a\tb"),
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "FOO", "get")
QUERIES = (
    *(
        "tag",
        "timestamp",
        "window",
        "from",
        "to",
        "timezone",
        "resolution",
        "state",
        "tags",
        "page",
        "per_page",
        "title_like",
    ),
    *(
        "created_after_utc",
        "created_before_utc",
        "status",
        "latency",
        "rid",
        "msg",
        "ping",
        "success",
        "duration",
        "error",
    ),
    *(
        "theme",
        "bgc",
        "locale",
        "lang",
        "label",
        "color",
        "labelColor",
        "style",
        "days",
        "tz",
        "v",
        "limit",
        "q",
        "x",
    ),
)
SIGNALS = (
    "",
    "/start",
    "/fail",
    "/log",
    "/0",
    "/255",
    "/256",
    "/-1",
    "/\u0661",
    "//",
    "/start/x",
    f"/{10**30}",
)
SAMPLE = {"tag": "earth", "status": "UP", "latency": 0.1}
INCIDENT = {"title": "Outage", "tags": ["earth"], "impact": "DOWN", "body": "**x**"}
FIELDS = (
    *(
        "tag",
        "status",
        "latency",
        "timestampInSeconds",
        "seq",
        "device",
        "monotonic",
        "boot",
        "sentAt",
        "samples",
        "x",
    ),
    *(
        "title",
        "tags",
        "body",
        "impact",
        "startDatetime",
        "endDatetime",
        "isMaintenance",
        "isIdentified",
        "isResolved",
    ),
)


@dataclass(frozen=True)
class Made:
    """A request as bytes, and what it is of; `keeps` is whether another may follow on the connection."""

    route: str
    method: str
    raw: bytes
    keeps: bool


class Requests:
    """Make requests for these routes: methods and paths such as `("GET", "/monitor/{tag}")`."""

    def __init__(
        self, seed: int, routes: Sequence[tuple[str, str]], tokens: Sequence[str], key: str, now: int
    ) -> None:
        self._random = Random(seed)
        self._routes = routes
        self._tokens = tokens
        self._key = key
        self._now = now

    def make(self) -> Made:
        random = self._random
        method, route = random.choice(self._routes)
        # What devices do all day long is what most requests are of.
        if random.random() < 0.3:
            method, route = random.choice(
                (("POST", "/api/status"), ("POST", "/api/status/batch"), ("POST", "/api/incident"))
            )
        if method == "*" or random.random() < 0.05:
            method = random.choice(METHODS)
        target = self._path(route) + self._query()
        body = self._body(route) if method in ("POST", "PUT", "PATCH") or random.random() < 0.02 else b""
        headers = self._headers(body)
        length, keeps = len(body), True
        if random.random() < 0.003:
            length, keeps = random.choice(((len(body) + 5, False), (max(0, len(body) - 5), False)))
        lines = [f"{method} {target} HTTP/1.{0 if random.random() < 0.01 else 1}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body or random.random() < 0.9:
            lines.append(f"Content-Length: {length}")
        raw = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body
        if random.random() < 0.005:
            raw, keeps = self._mutated(raw), False
        return Made(route, method, raw, keeps and "\n" not in target)

    def _odd(self) -> Any:
        """A value that is seldom expected."""
        random = self._random
        kinds: tuple[Callable[[], Any], ...] = (
            lambda: random.choice(INTEGERS),
            lambda: random.choice(TEXTS),
            lambda: random.choice((None, True, False, 0.5, -0.5, 1e308, 5.0)),
            lambda: [self._odd() for _ in range(random.randrange(3))],
            lambda: {random.choice(FIELDS): self._odd() for _ in range(random.randrange(3))},
        )
        return random.choice(kinds)()

    def _segment(self) -> str:
        random = self._random
        if random.random() < 0.1:
            return quote_from_bytes(random.choice(BYTES))
        value = str(random.choice((random.choice(TEXTS), random.choice(INTEGERS), random.choice(NUMBERS))))
        return quote(value, safe=random.choice(("", "/.:@!$&'()*+,;=")), errors="surrogatepass")

    def _path(self, route: str) -> str:
        random = self._random

        def filled(match: re.Match[str]) -> str:
            if random.random() < 0.3:
                return self._segment()
            return quote(self._good(match[1]), safe="/")

        path = re.sub(r"\{(\w+)\}", filled, route)
        if random.random() < 0.05:
            path += random.choice(
                ("/", "//", "/..", "/.", ".json", "%2f", "?", "/" + self._segment(), ";x=1")
            )
        if random.random() < 0.01:
            path = random.choice(("*", "http://localhost" + path, "//" + path, path.replace("/", "//"), "x"))
        return path

    def _good(self, name: str) -> str:
        random = self._random
        match name:
            case "tag":
                return random.choice(TAGS)
            case "number" | "incidentNumber":
                return str(random.randrange(1, 40))
            case "month":
                return "2026-11"
            case "day":
                return random.choice(("2026-11-27", "2025-03-30"))
            case "kind":
                return random.choice(("status", "uptime", "dot"))
            case "address":
                return random.choice((UUID, f"{PING_KEY}/backup")) + random.choice(SIGNALS)
            case "token":
                return PUSH_TOKEN
        return {
            "key": random.choice((self._key, GATUS_KEY)),
            "name": random.choice((*TAGS, "summary.json", "Planets")),
        }.get(name, "x")

    def _query(self) -> str:
        random = self._random
        if random.random() < 0.4:
            return ""
        good = {
            "tag": "earth",
            "timestamp": str(self._now - 60),
            "from": str(self._now - 3600),
            "to": str(self._now),
            "window": "24h",
            "resolution": random.choice(("day", "quarter", "minute")),
            "timezone": "Asia/Kathmandu",
            "status": "up",
            "success": "true",
            "rid": UUID,
            "ping": "12",
            "duration": "1.5s",
        }
        parts = []
        for _ in range(random.randrange(4)):
            name = random.choice(QUERIES)
            value = self._segment() if name not in good or random.random() < 0.4 else quote(good[name])
            parts.append(name if random.random() < 0.03 else f"{name}={value}")
        return "?" + "&".join(parts)

    def _headers(self, body: bytes) -> list[tuple[str, str]]:
        random = self._random
        host = random.choice(HOSTS) if random.random() < 0.15 else "localhost"
        headers = [("Host", host)] if random.random() < 0.99 else []
        if random.random() < 0.85:
            schemes = ("Bearer ", "bearer ", "") if random.random() < 0.9 else ("Basic ", "Bearer  x")
            token = (
                random.choice(self._tokens)
                if random.random() < 0.9
                else random.choice((GATUS_TOKEN, "a.b.c", "\u00e9"))
            )
            headers.append(("Authorization", random.choice(schemes) + token))
        names = random.sample(list(HEADERS), random.choice((0, 0, 1, 2, 4)))
        headers += [(name, random.choice(HEADERS[name])) for name in names]
        if body[:2] == b"\x1f\x8b" and random.random() < 0.95:
            headers.append(("Content-Encoding", "gzip"))
        return headers

    def _body(self, route: str) -> bytes:
        random = self._random
        if random.random() < 0.05:
            return random.randbytes(random.randrange(200))
        if "batch" in route:
            return self._packed(self._batch())
        if "incident" in route:
            return self._text(self._changed(INCIDENT | self._times("startDatetime", "endDatetime")))
        return self._text(self._changed(SAMPLE | self._times("timestampInSeconds")))

    def _times(self, *names: str) -> dict[str, Any]:
        random = self._random
        return {name: self._now - random.randrange(-90, 7200) for name in names if random.random() < 0.5}

    def _changed(self, value: Mapping[str, Any]) -> dict[str, Any]:
        random = self._random
        changed = dict(value)
        for _ in range(random.choice((0, 0, 1, 1, 2))):
            changed[random.choice(FIELDS)] = self._odd()
        if random.random() < 0.1:
            changed.pop(random.choice(list(changed)), None)
        return changed

    def _text(self, value: Any) -> bytes:
        """JSON, now and then not quite."""
        random = self._random
        text = json.dumps(value, ensure_ascii=random.random() < 0.5)
        raw = text.encode("utf-8", "surrogatepass")
        chance = random.random()
        if chance < 0.03:
            raw = b"\xef\xbb\xbf" + raw
        elif chance < 0.06:
            raw = self._mutated(raw)
        elif chance < 0.07:
            raw = raw.replace(b"0.1", random.choice(NUMBERS).encode())
        return raw

    def _sample(self, number: int) -> dict[str, Any]:
        random = self._random
        sample = SAMPLE | {"timestampInSeconds": self._now - 60 * random.randrange(600), "seq": number}
        if random.random() < 0.2:
            sample |= {"monotonic": 5000.0 + number, "boot": random.choice("abc")}
        if random.random() < 0.1:
            sample["device"] = random.choice("abcdef")
        if random.random() < 0.3:
            sample.pop(random.choice(list(sample)))
        return self._changed(sample) if random.random() < 0.3 else sample

    def _batch(self) -> bytes:
        random = self._random
        samples: list[Any] = [self._sample(random.randrange(50)) for _ in range(random.choice((0, 1, 3, 20)))]
        if random.random() < 0.1:
            samples.append(self._odd())
        head: dict[str, Any] = {
            "device": random.choice("abcdef"),
            "sentAt": self._now + random.choice((0, 0.5, -9999, 5e4)),
        }
        if random.random() < 0.3:
            head |= {"monotonic": random.choice((5123.4, 1e12, 0)), "boot": random.choice("abc")}
        if random.random() < 0.3:
            head = self._changed(head)
        match random.randrange(4):
            case 0 | 1:
                document = (
                    {**head, "samples": samples} if random.random() < 0.5 else {"samples": samples, **head}
                )
                return self._text(document)
            case 2:
                newline = random.choice((b"\n", b"\r\n", b"\n\n"))
                return newline.join(
                    self._text(line) for line in ([head] if random.random() < 0.7 else []) + samples
                )
        rows = [f"earth,UP,{random.random()},{self._now}" for _ in range(random.randrange(20))]
        return "\n".join(["tag,status,latency,timestampInSeconds", *rows]).encode()

    def _packed(self, text: bytes) -> bytes:
        random = self._random
        if random.random() < 0.6:
            return text
        half = len(text) // 2
        parts = [text] if random.random() < 0.7 else [text[:half], b"", text[half:]]
        packed = b"".join(gzip.compress(part, mtime=0) for part in parts)
        return (
            packed
            if random.random() < 0.8
            else random.choice((self._mutated(packed), packed[:-7], packed + b"x"))
        )

    def _mutated(self, raw: bytes) -> bytes:
        random = self._random
        at = random.randrange(len(raw) + 1)
        return raw[:at] + random.randbytes(random.randrange(4)) + raw[at + random.randrange(4) :]
