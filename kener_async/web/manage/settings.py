"""/manage/settings: the configuration in force, the origin of each value, and what a reload would change."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.config.in_force import (
    ConfigChange,
    SettingInForce,
    changes_between,
    masked_text,
    settings_in_force,
    things_of_file,
)
from kener_async.config.load import ConfigError, load
from kener_async.config.model import Config
from kener_async.domain.errors import Conflict, NotFound
from kener_async.domain.people import Act
from kener_async.store import audit
from kener_async.web.manage.frame import HEADERS, ManageForm, ManagePage, manage_form, manage_page


@dataclass(frozen=True, slots=True)
class FileOnDisk:
    """What a reload would do: `problems` of the file that is on disk now, or else its `changes`."""

    changes: Sequence[ConfigChange] = ()
    problems: Sequence[str] = ()


@manage_page(Act.SEE_SETTINGS)
async def settings(page: ManagePage) -> str:
    """Every setting by its table, the things of the file, and what the file on disk would change."""
    _ = page.locale.gettext
    config, running = page.config, page.app[keys.RUNNING]
    in_force = await asyncio.to_thread(settings_in_force, config)
    things = await asyncio.to_thread(things_of_file, config)
    return await page.render(
        "manage/settings.html",
        file=config.file,
        tables=[(name, list(group)) for name, group in groupby(in_force, key=_table)],
        things=[(kind, list(group)) for kind, group in groupby(things, key=lambda thing: thing.kind)],
        on_disk=await asyncio.to_thread(_file_on_disk, config),
        to_restart=await asyncio.to_thread(_waiting_for_restart, running.started_with, config),
        may_reload=running.request_reload is not None,
        messages={"reload": _("The file is read again; this page shows what is in force by now.")},
    )


@manage_page(Act.SEE_SETTINGS)
async def config_toml(page: ManagePage) -> web.StreamResponse:
    """The file that is in force, without its secrets."""
    text = masked_text(page.config)
    if text is None:
        raise Conflict("a secret stands elsewhere in the file, too: it cannot be shown without it")
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="config.toml"'}
    return web.Response(text=text, content_type="application/toml", charset="utf-8", headers=headers)


@manage_form(Act.SEE_SETTINGS, Schema(), shown_by=settings)
async def reload(form: ManageForm) -> web.StreamResponse:
    """Read the file again, as SIGHUP does: a file with problems changes nothing."""
    request_reload = form.app[keys.RUNNING].request_reload
    if request_reload is None:
        raise NotFound("nothing here can read the file again")
    location = "/settings?done=reload"
    await form.write(
        audit.record, form.actor, "settings.reload", "settings", None, None, form.now, location=location
    )
    request_reload()
    return form.redirect(location)


def _table(setting: SettingInForce) -> str:
    return setting.name.rpartition(".")[0]


def _file_on_disk(config: Config) -> FileOnDisk:
    try:
        return FileOnDisk(changes_between(config, load(config.file, os.environ)))
    except ConfigError as error:
        return FileOnDisk(problems=error.problems)


def _waiting_for_restart(started_with: Config, config: Config) -> list[ConfigChange]:
    return [change for change in changes_between(started_with, config) if change.needs_restart]
