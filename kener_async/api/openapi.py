"""The OpenAPI 3.0.3 document, generated from the specs and schemas that serve the API."""

import re
from typing import Any

from aiohttp import web
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from kener_async import __version__
from kener_async.api import schemas
from kener_async.api.http.endpoint import Spec
from kener_async.api.openapi_examples import error_examples, line_example, request_example
from kener_async.config.model import Config

API_VERSION = "1.0.0"
INTEGERS = ("incidentNumber", "alertId", "deliveryId", "updateId")  # of the path
DESCRIPTIONS = {
    400: "The request is invalid",
    401: "No valid token",
    403: "The token does not allow this",
    404: "Not found",
    409: "It was changed since the revision in If-Match",
    408: "The body was not received in time",
    413: "The body is too large",
    415: "The Content-Encoding is not supported",
    429: "Over the rate limit of the token; Retry-After says when to try again",
    503: "Unavailable; nothing was stored",
}


def document(router: web.UrlDispatcher, config: Config) -> dict[str, Any]:
    """Describe all routes that have a Spec."""
    spec = APISpec(
        title="Kener API",
        version=API_VERSION,
        openapi_version="3.0.3",
        plugins=[MarshmallowPlugin(schema_name_resolver=_name)],
        info={
            "description": f"Status page and incidents, by kener_async {__version__}. A superset of the "
            "Kener API 1.0.0.",
            "license": {"name": "MIT"},
        },
        servers=[{"url": config.server.public_url + config.server.base_path or "/"}],
        tags=[
            {"name": "Monitors", "description": "Heartbeats, status and uptime"},
            {"name": "Incidents", "description": "Incidents, maintenance and their comments"},
            {
                "name": "Management",
                "description": "Incidents, maintenance, alerts, channels, settings and the audit log",
            },
            {"name": "Service", "description": "The server itself"},
        ],
    )
    spec.components.security_scheme("bearerAuth", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    # A visible one, because the description is public.
    tag = next((monitor.tag for monitor in config.monitors if not monitor.hidden), "earth")
    for route in router.routes():
        described = getattr(route.handler, "spec", None)
        if described is not None and route.method != "HEAD" and route.resource is not None:
            operation = _operation(described, route.handler.__doc__ or "", tag)
            spec.path(path=route.resource.canonical, operations={route.method.lower(): operation})
    description: dict[str, Any] = spec.to_dict()
    _complete_parameters(description, tag)
    return description


def _complete_parameters(description: dict[str, Any], tag: str) -> None:
    """Let the examples of parameters work when they are sent; optional ones without a default have none."""
    for operations in description["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                schema = parameter["schema"]
                if parameter["name"] == "tag":
                    schema["example"] = tag
                elif "default" not in schema:
                    schema.pop("example", None)


def _name(schema: Any) -> str:
    return (schema if isinstance(schema, type) else type(schema)).__name__.removesuffix("Schema")


def _operation(spec: Spec, doc: str, tag: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": spec.operation,
        "summary": spec.summary,
        "description": re.sub(r"\s+", " ", doc).strip(),
        "tags": [spec.group],
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": description,
                "schema": {"type": "integer" if name in INTEGERS else "string"},
            }
            for name, description in spec.path.items()
        ],
        "responses": {"200": _done(spec)},
    }
    if spec.query is not None:
        operation["parameters"].append({"in": "query", "schema": spec.query})
    if spec.body is not None:
        content: dict[str, Any] = {
            "application/json": {"schema": spec.body, "example": request_example(spec.body, tag)}
        }
        if spec.line is not None:
            content["application/x-ndjson"] = {"schema": spec.line, "example": line_example(spec.line, tag)}
        operation["requestBody"] = {"required": not spec.is_body_optional, "content": content}
    if spec.scope is not None:
        operation["security"] = [{"bearerAuth": []}]
    for status in _errors(spec):
        response = _response(DESCRIPTIONS[status], schemas.Error())
        if examples := error_examples(spec, status):
            response["content"]["application/json"]["examples"] = examples
        operation["responses"][str(status)] = response
    return operation


def _done(spec: Spec) -> dict[str, Any]:
    if spec.reply is None:
        return {"description": "Done", "content": {spec.text_type: {"schema": {"type": "string"}}}}
    return _response("Done", spec.reply, spec.many)


def _errors(spec: Spec) -> list[int]:
    """The statuses of the errors that an operation can answer."""
    statuses = list(spec.errors)
    if spec.scope is not None:
        statuses += [401, 403]
        if spec.query is not None or spec.body is not None or spec.path:
            statuses.append(400)
    return sorted(statuses)


def _response(description: str, schema: Schema, many: bool = False) -> dict[str, Any]:
    shape = {"type": "array", "items": schema} if many else schema
    return {"description": description, "content": {"application/json": {"schema": shape}}}
