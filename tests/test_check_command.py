"""`check`: one attempt at an address or a monitor, on the terminal, with its exit status."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kener_async.cli.main import main
from kener_async.ops.check import check_of_address, target_text
from kener_async.probes.settings import DnsTarget, GreetingTarget, PingTarget, TcpTarget, TlsTarget, UdpTarget

SECRET = "s3cret-of-the-shop"


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"status": "ok", "auth": self.headers.get("Authorization")}).encode()
        self.send_response(503 if self.path == "/down" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Echo", self.headers.get("Authorization", "-"))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KENER_CONFIG", raising=False)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["check", *words])


def test_an_address_that_answers_is_up_with_phases_and_conditions():
    with serving() as url:
        result = run(url, "--expect", 'json $.status == "ok"', "--warn", "latency < 9s")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith(f"UP  {url}  ")
    assert any(line.split()[:1] == ["connect"] for line in lines)
    assert any(line.split()[:2] == ["first", "byte"] for line in lines)
    assert {"  status        200", "  ip            127.0.0.1"} <= {*lines}
    assert '  ✓ json $.status == "ok"' in lines
    assert "  ✓ latency < 9s" in lines


@pytest.mark.parametrize(
    ("words", "status", "code", "reason"),
    [
        ((), "UP", 0, None),
        (("--expect", "status == 204"), "DOWN", 1, "status is 200"),
        (("--warn", 'header "x-echo" == "a"'), "DEGRADED", 1, 'header "x-echo" is "-"'),
    ],
)
def test_json_says_the_same(words: tuple[str, ...], status: str, code: int, reason: str | None):
    with serving() as url:
        result = run(url, "--json", *words)
    said = json.loads(result.stdout)
    assert (said["status"], result.exit_code, said["reason"]) == (status, code, reason)
    assert said["values"]["status"] == 200
    assert said["phases"].keys() == {"connect", "firstByte"}
    assert all(each["holds"] for each in said["conditions"]) is (reason is None)


def test_what_is_down_says_why_in_one_line():
    with serving() as url:
        assert "  status is 503" in run(f"{url}/down").output.splitlines()
    refused = run("http://127.0.0.1:1/")
    assert (refused.exit_code, refused.output.splitlines()[1]) == (1, "  connection refused")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("http://127.0.0.1:1", "--expect", "status = 3"),
            "expect: column 8: one = assigns, two compare: ==",
        ),
        (("tcp://127.0.0.1",), "tcp: must be a host and a port"),
        (("http://127.0.0.1:1", "--timeout", "soon"), "timeout: "),
        (("gopher:a",), "gopher:a: one of dns, ftp, "),
        (("earth",), "there is no config.toml in which earth could be a monitor"),
        (("http://127.0.0.1:1", "-H", "no colon"), "a header is 'Name: value'"),
        (("ping:127.0.0.1", "--expect", "status == 200"), "ping has no status"),
    ],
)
def test_what_cannot_be_checked_is_no_result(words: tuple[str, ...], text: str):
    result = run(*words)
    assert result.exit_code == 2
    assert text in result.output


CONFIG = """
[[monitors]]
tag = "shop"
name = "Shop"
[monitors.check]
http = "{url}/"
headers = {{ Authorization = "Bearer $SHOP_TOKEN" }}
warn = ['header "x-echo" == "a"', 'json $.auth == "b"']

[[monitors]]
tag = "pushed"
name = "Pushed"

[[monitors]]
tag = "both"
name = "Both"
[monitors.check]
group = ["shop", "pushed"]
"""


def test_a_monitor_is_looked_at_as_its_table_says_and_its_secrets_are_not_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    with serving() as url:
        (folder / "config.toml").write_text(CONFIG.format(url=url))
        results = [run("shop"), run("shop", "--json")]
    assert [each.exit_code for each in results] == [1, 1]
    for result in results:
        assert SECRET not in result.output
        assert "***" in result.output
    assert not (folder / "data").exists()  # nothing is stored


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("shpo",), "there is no monitor shpo"),
        (("pushed",), "pushed has no [monitors.check]"),
        (("both",), "both is a group, look at its members: shop, pushed"),
        (("shop", "--timeout", "1s"), "timeout: a monitor is looked at as its [monitors.check] says"),
    ],
)
def test_a_tag_that_cannot_be_checked_is_no_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], text: str
):
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    (folder / "config.toml").write_text(CONFIG.format(url="http://127.0.0.1:1"))
    result = run(*words)
    assert (result.exit_code, text in result.output) == (2, True), result.output


def test_an_invalid_configuration_does_not_keep_an_address_from_being_checked(folder: Path):
    (folder / "config.toml").write_text("[server]\nprot = 3000\n")
    with serving() as url:
        result = run(url)
    assert result.exit_code == 0
    assert "config.toml is not valid, so its [checks] are not used" in result.stderr


@pytest.mark.parametrize(
    ("address", "target", "text"),
    [
        ("ping:gw.example", PingTarget("gw.example"), "ping:gw.example"),
        ("ping://gw.example/", PingTarget("gw.example"), "ping:gw.example"),
        ("tcp://db.example:5432", TcpTarget("db.example", 5432), "tcp://db.example:5432"),
        ("tcp:[2001:db8::1]:5432", TcpTarget("2001:db8::1", 5432), "tcp://[2001:db8::1]:5432"),
        ("udp://game.example:1", UdpTarget("game.example", 1), "udp://game.example:1"),
        ("tls://a.example", TlsTarget("a.example", 443), "tls://a.example:443"),
        ("tls:a.example:636", TlsTarget("a.example", 636), "tls://a.example:636"),
        ("smtp://a.example", GreetingTarget("smtp", "a.example", 25), "smtp://a.example:25"),
        ("dns:a.example", DnsTarget("a.example"), "dns:a.example/A"),
        ("dns:a.example/mx", DnsTarget("a.example", "MX"), "dns:a.example/MX"),
        (
            "dns:a.example/MX@192.0.2.53",
            DnsTarget("a.example", "MX", "192.0.2.53"),
            "dns:a.example/MX@192.0.2.53",
        ),
    ],
)
def test_addresses_name_every_kind_of_target(address: str, target: object, text: str):
    settings = check_of_address(address, {})
    assert settings.target == target
    assert target_text(settings) == text
