"""/manage/devices: what has reported in batches, its clock and what is missing of it; revoke, forget."""

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.domain.people import Act
from kener_async.store import device_acts
from kener_async.store import devices as stored
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page
from kener_async.web.manage.lists import paged, query_text


@manage_page(Act.SEE)
async def devices(page: ManagePage) -> str:
    """The devices whose monitors the person may all see."""
    text = query_text(page, "q").casefold()
    found = [
        device
        for device in await page.app[keys.DATABASE].read(stored.summaries)
        if device.is_visible(page.grant)
        and any(text in each.casefold() for each in (device.name, device.sender, *device.tags))
    ]
    shown, pages = paged(page, found)
    _ = page.locale.gettext
    return await page.render(
        "manage/devices.html",
        devices=shown,
        found=len(found),
        pages=pages,
        text=query_text(page, "q"),
        tolerance=page.config.ingest.clock_skew_seconds,
        messages={"forgotten": _("Forgotten. Its samples stay."), "revoked": _("Revoked, at once.")},
    )


@manage_page(Act.MANAGE_TOKENS)
async def forget_device(page: ManagePage) -> str:
    """Ask before a device is forgotten."""
    number = int(page.request.match_info["number"])
    found = await page.app[keys.DATABASE].read(device_acts.visible, number, page.grant)
    return await page.render("manage/forget_device.html", device=found)


@manage_form(Act.MANAGE_TOKENS, Schema())
async def forget(form: ManageForm) -> web.StreamResponse:
    """Delete what is known of a device."""
    number, path = int(form.request.match_info["number"]), "/devices?done=forgotten"
    await form.write(device_acts.forget, number, form.grant, form.actor, form.now, location=path)
    return form.redirect(path)
