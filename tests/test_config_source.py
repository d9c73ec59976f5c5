"""Where things stand in config.toml, and their tables without secrets."""

from hypothesis import given
from hypothesis import strategies as st

from kener_async.config.source import ConfigSource

TEXT = """\
# The shop's own.
[site]
title = "Shop"

# Secret: old-password
[[monitors]]
tag = "shop"
[monitors.check]
http = "https://user:hunter22@shop.example.org/health?token=abc123"
# password = "older-password"
headers = { Authorization = "Bearer plain-token", Accept = "$ACCEPT" }
body = "key=topsecret"
password = "$SHOP_PASSWORD"

[[channels]]
name = "ops"
kind = "slack"
url = "https://hooks.example.org/T000/B000/XXXX"

[[monitors]]
tag = "mars"
name = '''
two
lines'''
[monitors.uptime_kuma]
token = "kuma-token-1"

# The last remark.
"""


def test_a_table_is_shown_with_what_is_within_it_and_nothing_else():
    source = ConfigSource(TEXT)
    assert source.line("monitors", "shop") == 6
    assert source.table("monitors", "shop") == (
        '[[monitors]]\ntag = "shop"\n[monitors.check]\nhttp = "https://shop.example.org/health?***"\n'
        'headers = { Authorization = "***", Accept = "$ACCEPT" }\nbody = "***"\npassword = "$SHOP_PASSWORD"\n'
    )
    assert source.line("monitors", "mars") == 20
    mars = source.table("monitors", "mars")
    assert mars is not None
    assert mars.endswith("two\nlines'''\n[monitors.uptime_kuma]\ntoken = \"***\"\n")
    assert source.line("channels", "ops") == 15
    assert source.table("channels", "ops") == '[[channels]]\nname = "ops"\nkind = "slack"\nurl = "***"\n'


def test_what_is_not_in_the_file_has_no_line():
    source = ConfigSource(TEXT)
    assert source.line("monitors", "pluto") is None
    assert source.table("monitors", "pluto") is None


def test_a_secret_that_stands_elsewhere_in_the_table_too_hides_it():
    source = ConfigSource('[[channels]]\nname = "abc"\nkind = "gotify"\nurl = "https://x"\ntoken = "abc"\n')
    assert source.line("channels", "abc") == 1
    assert source.table("channels", "abc") is None


def test_tables_written_as_a_list_have_a_line_and_no_table():
    source = ConfigSource('monitors = [\n  { tag = "a" },\n  { tag = "b" },\n]\n')
    assert source.line("monitors", "b") == 1
    assert source.table("monitors", "b") is None


@given(st.text("abc\"'\\$ é\n", min_size=1, max_size=12), st.sampled_from(["basic", "escaped"]))
def test_no_secret_is_ever_shown(secret: str, form: str):
    escaped = secret.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    if form == "escaped":
        escaped = "".join(f"\\u{ord(each):04x}" for each in secret)
    text = f'[[channels]]\nname = "ops"\nkind = "gotify"\nurl = "$URL"\ntoken = "{escaped}"\n'
    shown = ConfigSource(text).table("channels", "ops")
    if shown is not None and not secret.startswith("$"):
        assert f'token = "{escaped}"' not in shown
