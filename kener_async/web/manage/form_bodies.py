"""Bodies of forms: read within bounds, and loaded by a schema with an error for each field."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from marshmallow import EXCLUDE, Schema, ValidationError

from kener_async import keys
from kener_async.api.http.body import BODY_BUDGET, BodyBudget, read_encoded
from kener_async.domain.errors import Invalid, Unsupported
from kener_async.web.manage.form_fields import FormList

CONTENT_TYPE = "application/x-www-form-urlencoded"
MAX_BODY = 512 * 1024  # bytes; three texts of the greatest length, percent-encoded
MAX_OPEN_BODY = 64 * 1024  # of a form that is sent without a session, such as that to sign in
MAX_FIELDS = 5000

Typed = Mapping[str, tuple[str, ...]]  # what was typed, by the name of its field


class FieldError(Invalid):
    """A form is invalid: the error of each field, and of "" that of the whole."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" if name else text for name, text in errors.items()))
        self.errors = errors


class AnonymousBudget(BodyBudget):
    """Bound the bytes of all forms that are sent without a session, so that they keep out no heartbeat."""

    limit = 8 << 20  # bytes


ANONYMOUS_BUDGET = web.AppKey("budget of forms without a session", AnonymousBudget)


async def read_form(request: web.Request, *, is_signed_in: bool, limit: int = MAX_BODY) -> Typed:
    """The fields of a form; raises Unsupported, TooLarge, TooSlow, Unavailable and Invalid."""
    if request.content_type != CONTENT_TYPE:
        raise Unsupported(f"Content-Type: this route reads {CONTENT_TYPE} only")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unsupported("Content-Encoding: this route reads plain bodies only")
    seconds = request.app[keys.RUNNING].config.server.request_timeout_seconds
    budget = request.app[BODY_BUDGET if is_signed_in else ANONYMOUS_BUDGET]
    with budget.reservation() as reservation:
        raw, _ = await read_encoded(request, reservation, limit, seconds)
        return parsed(bytes(raw))


def parsed(raw: bytes) -> Typed:
    """The fields of a body; raises Invalid."""
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:  # not ASCII, not UTF-8, too many fields
        raise Invalid("the form is malformed") from None
    typed: dict[str, list[str]] = {}
    for name, value in pairs:
        typed.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return {name: tuple(values) for name, values in typed.items()}


def load(schema: Schema, typed: Typed) -> dict[str, Any]:
    """Load a form by its schema; raises FieldError with an error for each field that has one.

    A field that may be given once is a text, a FormList all values of its name.
    """
    data: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, form_field in schema.fields.items():
        values = typed.get(form_field.data_key or name)
        if isinstance(form_field, FormList):
            data[form_field.data_key or name] = values or ()
        elif values is not None and len(values) > 1:
            errors[name] = "is given twice"
        elif values is not None:
            data[form_field.data_key or name] = values[0]
    if errors:
        raise FieldError(errors)
    try:
        loaded: dict[str, Any] = schema.load(data, unknown=EXCLUDE)
    except ValidationError as error:
        raise FieldError(_by_field(error.messages)) from None
    return loaded


def _by_field(messages: Any) -> dict[str, str]:
    """The first message of each field; of the schema as a whole that of ""."""
    if not isinstance(messages, dict):
        return {"": "; ".join(map(str, messages))}
    return {"" if name == "_schema" else name: _first(value) for name, value in messages.items()}


def _first(value: Any) -> str:
    while isinstance(value, list | dict):
        value = next(iter(value.values() if isinstance(value, dict) else value), "is invalid")
    return str(value)


def errors_of(error: Invalid, schema: Schema) -> Mapping[str, str]:
    """The errors of a refusal by field: a message that begins with the name of a field is that field's."""
    if isinstance(error, FieldError):
        return error.errors
    name, colon, text = error.message.partition(":")
    return {name: text.strip()} if colon and name in schema.fields else {"": error.message}
