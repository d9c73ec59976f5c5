"""/api/manage/config: the configuration in force, without its secrets."""

from typing import Any

from aiohttp import web
from marshmallow import Schema, fields

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage.owned import require_unlimited
from kener_async.api.schemas import described
from kener_async.config.in_force import SettingInForce, masked_text, settings_in_force
from kener_async.domain.errors import Conflict

routes = Routes()


class SettingSchema(Schema):
    name = fields.String(metadata=described("The key with its table", "server.port"))
    value = fields.String(metadata=described("As config.toml has it; dots for a secret", "3000"))
    origin = fields.String(metadata=described("file, environment or default", "file"))
    line = fields.Integer(allow_none=True, metadata=described("Where it stands in the file", 12))
    variable = fields.String(
        allow_none=True, metadata=described("The variable of the environment it comes from", None)
    )
    needs_restart = fields.Boolean(
        data_key="needsRestart",
        metadata=described("Whether a change takes effect after a restart only", True),
    )


@routes.get("/api/manage/config")
@endpoint(
    Spec(
        operation="getConfig",
        summary="Get the configuration",
        group="Management",
        scope="admin",
        reply=SettingSchema(),
        many=True,
    )
)
async def get_config(call: Call) -> list[dict[str, Any]]:
    """Each setting in force with where it comes from: the file, the environment, or a default."""
    require_unlimited(call)
    return [_rendered(setting) for setting in settings_in_force(call.request.app[keys.RUNNING].config)]


@routes.get("/api/manage/config.toml")
@endpoint(
    Spec(
        operation="getConfigToml",
        summary="Get the file of the configuration",
        group="Management",
        scope="admin",
        text_type="application/toml",
        errors=(409,),
    )
)
async def get_config_toml(call: Call) -> web.Response:
    """The file that is in force, with `$FILL_IN` for each secret.

    409 where a secret cannot be told from the rest, because it stands in a comment, too.
    """
    require_unlimited(call)
    text = masked_text(call.request.app[keys.RUNNING].config)
    if text is None:
        raise Conflict("a secret stands elsewhere in the file, too: it cannot be shown without it")
    return web.Response(text=text, content_type="application/toml", charset="utf-8")


def _rendered(setting: SettingInForce) -> dict[str, Any]:
    return {
        "name": setting.name,
        "value": setting.value,
        "origin": setting.origin,
        "line": setting.line,
        "variable": setting.variable or None,
        "needsRestart": setting.needs_restart,
    }
