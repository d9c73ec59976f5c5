"""The examples of the API description: requests that work when sent, and the errors of each route."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from marshmallow import Schema

from kener_async.api.http.endpoint import Spec
from kener_async.api.http.fields import Items, SingleMessageField

# The things that parts of a path name.
NOT_FOUND = {
    "updateId": "update",
    "incidentNumber": "incident",
    "alertId": "alert",
    "deliveryId": "delivery",
    "channelName": "channel",
    "deviceId": "device",
    "tokenId": "token",
    "seriesName": "series",
    "templateName": "template",
    "announcementName": "announcement",
}
NO_INTEGERS = ("channelName", "tokenId", "seriesName", "templateName", "announcementName")

Examples = dict[str, dict[str, Any]]


def request_example(schema: Schema, tag: str) -> dict[str, Any]:
    """A body of the required fields, without any the first; so it names no time, and means now.

    `tag` is that of a monitor that exists.
    """
    declared = _by_key(schema)
    required = {name: field for name, field in declared.items() if field.required}
    chosen = required or dict(list(declared.items())[:1])
    return {name: _value(name, field, tag) for name, field in chosen.items()}


def line_example(schema: Schema, tag: str) -> str:
    """A line of JSON Lines."""
    return orjson.dumps(request_example(schema, tag), option=orjson.OPT_APPEND_NEWLINE).decode()


def _value(name: str, field: Any, tag: str) -> Any:
    if name in ("tag", "tags"):
        return tag if name == "tag" else [tag]
    if isinstance(field, Items):
        return [request_example(field.inner.nested, tag)]  # type: ignore[attr-defined]
    return field.metadata["example"]


def error_examples(spec: Spec, status: int) -> Examples:
    """The errors that a route answers with a status, by a name; empty if they are those of all routes."""
    texts = {400: _invalid, 403: _forbidden, 404: _not_found}.get(status)
    return {} if texts is None else {name: {"value": {"error": text}} for name, text in texts(spec)}


def _invalid(spec: Spec) -> Iterator[tuple[str, str]]:
    for schema in (spec.query, spec.body):
        for name, field in _by_key(schema).items() if schema is not None else ():
            if isinstance(field, SingleMessageField):
                yield name, str(field.error_messages["invalid"])
    if spec.body is not None:
        keys = _by_key(spec.body)
        if "tags" in keys and keys["tags"].required:
            yield "unknown tags", "unknown tags: pluto"
        if "endDatetime" in keys:
            yield "end before start", "Invalid endDatetime: must be later than startDatetime"
    if _names_a_monitor(spec):
        yield "unknown tag", "invalid tag"
    for name in spec.path:
        if name in NOT_FOUND and name not in NO_INTEGERS:
            yield name, f"Invalid {name}: must be an integer"


def _forbidden(spec: Spec) -> Iterator[tuple[str, str]]:
    yield "scope", f"the token lacks the scope {spec.scope}"
    if _names_a_monitor(spec) or spec.group == "Incidents":
        yield "monitors", "the token is for other monitors"


def _not_found(spec: Spec) -> Iterator[tuple[str, str]]:
    found = next((name for name in NOT_FOUND if name in spec.path), "incidentNumber")
    yield NOT_FOUND[found], f"{NOT_FOUND[found]} not found"


def _names_a_monitor(spec: Spec) -> bool:
    schemas = [schema for schema in (spec.query, spec.body) if schema is not None]
    return not spec.many and ("tag" in spec.path or any("tag" in _by_key(schema) for schema in schemas))


def _by_key(schema: Schema) -> Mapping[str, Any]:
    return {field.data_key or name: field for name, field in schema.fields.items()}
