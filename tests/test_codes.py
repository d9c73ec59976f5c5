"""Time-based codes, their QR image, and recovery codes."""

from base64 import b32decode, b32encode
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kener_async import keys
from kener_async.identity import codes
from kener_async.store import people
from tests.rigs.people import COMMAND, a_person
from tests.rigs.service import Service

# RFC 6238, appendix B, for SHA-1; of its eight digits the last six
SECRET = b"12345678901234567890"
VECTORS = [
    (59, "287082"),
    (1_111_111_109, "081804"),
    (1_111_111_111, "050471"),
    (1_234_567_890, "005924"),
    (2_000_000_000, "279037"),
    (20_000_000_000, "353130"),
]


@pytest.mark.parametrize(("now", "code"), VECTORS)
def test_the_vectors_of_the_rfc(now: int, code: str):
    assert codes.step_of(SECRET, code, now) == now // 30


@pytest.mark.parametrize(
    ("drift", "is_good"), [(-31, 0), (-30, 1), (-1, 1), (0, 1), (29, 1), (59, 1), (60, 0)]
)
def test_one_step_either_way(drift: int, is_good: int):
    now = 1_234_567_890  # the beginning of a step
    found = codes.step_of(SECRET, "005924", now + drift)
    assert found == (now // 30 if is_good else None)


@pytest.mark.parametrize("typed", ["005 924", " 005924 ", "\uff10\uff10\uff15\uff19\uff12\uff14"])
def test_a_code_as_people_type_it(typed: str):
    assert codes.step_of(SECRET, typed, 1_234_567_890) is not None


@pytest.mark.parametrize(
    "typed", ["", "00592", "0059244", "5924", "00592x", "٠٠٥٩٢٤", "-05924", "0x5924", "005924\0"]
)
def test_what_is_no_code(typed: str):
    assert codes.step_of(SECRET, typed, 1_234_567_890) is None


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(0, 2**40))
def test_any_text_is_a_code_or_none(typed: str, now: int):
    step = codes.step_of(SECRET, typed, now)
    assert step is None or abs(step - now // 30) <= 1


async def test_each_step_is_used_once_and_none_before_it(service: Service):
    ada = await a_person(service)
    database = service.app[keys.DATABASE]
    await database.write(people.set_codes, ada.id, SECRET, 10, [], COMMAND, service.clock())
    taken = [await database.write(people.use_code_step, ada.id, step) for step in (9, 10, 12, 12, 11, 13)]
    assert taken == [False, False, True, False, False, True]


async def test_without_codes_there_is_no_step(service: Service):
    ada = await a_person(service)
    assert not await service.app[keys.DATABASE].write(people.use_code_step, ada.id, 10**9)


def test_the_address_for_authenticators():
    key = codes.new_key()
    parts = urlsplit(codes.address(key, "ada@example.org", "Status: & more"))
    assert (parts.scheme, parts.netloc, unquote(parts.path)) == (
        "otpauth",
        "totp",
        "/Status: & more:ada@example.org",
    )
    query = parse_qs(parts.query)
    assert b32decode(query["secret"][0]) == key
    assert query["issuer"] == ["Status: & more"]


def test_the_image_has_no_style_and_no_script_of_its_own():
    image = codes.qr_image("otpauth://totp/x?secret=ABC")
    assert image.startswith("<svg ")
    assert "style" not in image
    assert "<script" not in image
    assert 'fill="#fff"' in image  # white also on dark pages, or no scanner reads it


def test_recovery_codes_are_ten_of_eighty_bits_each():
    made = codes.new_recovery_codes()
    assert len(set(made)) == 10
    assert {len(code.replace("-", "")) for code in made} == {16}
    assert len(codes.ALPHABET) == 32


@pytest.mark.parametrize(
    ("typed", "is_it"),
    [
        ("0123-4567-89ab-cdef", True),
        ("0123456789ABCDEF", True),
        (" o123 4567 89ab cdef ", True),
        ("0l23-4567-89ab-cdef", True),
        ("0123-4567-89ab-cdeg", False),
        ("0123-4567-89ab-cde", None),
        ("0123-4567-89ab-cdeu", None),
        ("", None),
    ],
)
def test_a_recovery_code_as_people_type_it(typed: str, is_it: bool | None):
    digest = codes.recovery_digest(7, typed)
    assert (None if digest is None else digest == codes.recovery_digest(7, "0123-4567-89ab-cdef")) == is_it


def test_the_same_recovery_code_of_two_people_has_two_digests():
    assert codes.recovery_digest(7, "0" * 16) != codes.recovery_digest(8, "0" * 16)


def test_the_secret_is_shown_as_authenticators_take_it():
    key = codes.new_key()
    assert codes.key_text(key).replace(" ", "") == b32encode(key).decode()
