"""Revisions in requests and answers: a change that was made from an old one is refused with 409."""

import re

from aiohttp import web

from kener_async.api.http.endpoint import Call
from kener_async.api.http.responses import json_response
from kener_async.domain.errors import Invalid
from kener_async.store.managed import NEW

_ENTITY_TAG = re.compile(r'(?:W/)?"?(\d{1,18})"?')


def revision_of(call: Call) -> int | None:
    """The revision in the header If-Match, with quotation marks or without; None: whatever is stored.

    Raises Invalid for anything else.
    """
    text = call.request.headers.get("If-Match", "*").strip()
    if text == "*":
        return None
    match = _ENTITY_TAG.fullmatch(text)
    if match is None or not text.isascii():
        raise Invalid('header If-Match: must be a revision, such as "4"')
    return int(match[1])


def revision_to_save(call: Call) -> int | None:
    """The revision that a PUT replaces, as `revision_of`; without If-Match the thing must be new."""
    return revision_of(call) if "If-Match" in call.request.headers else NEW


def with_revision(value: object, revision: int) -> web.Response:
    """The answer as JSON, with the revision as its entity tag."""
    response = json_response(value)
    response.headers["ETag"] = f'"{revision}"'
    return response
