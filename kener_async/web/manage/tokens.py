"""/manage/tokens: the tokens of devices and programs; make one, which is shown once, and revoke one."""

from dataclasses import replace
from typing import Any

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.api.http.auth import AUTHENTICATOR
from kener_async.api.http.new_tokens import GLOB, TokenOrder, covers, made, require_within
from kener_async.api.manage.tokens import revoke_visible
from kener_async.domain.access import DEFAULT_SCOPES, SCOPES
from kener_async.domain.errors import NotFound
from kener_async.domain.people import Act
from kener_async.store import token_acts
from kener_async.store import tokens as stored
from kener_async.store.interface import Session
from kener_async.store.tokens import Token
from kener_async.web.manage.form_bodies import FieldError
from kener_async.web.manage.form_fields import FormChoice, FormList, FormText
from kener_async.web.manage.frame import ManageForm, ManagePage, answer, manage_form, manage_page
from kener_async.web.manage.lists import paged, query_choice, query_text

DAY = 86_400
LIFETIMES: dict[str, int | None] = {
    "30d": 30 * DAY,
    "90d": 90 * DAY,
    "365d": 365 * DAY,
    "never": None,
}
STATES = {"valid": ("valid",), "expired": ("expired",), "revoked": ("revoked",), "all": ()}


@manage_page(Act.MANAGE_TOKENS)
async def tokens(page: ManagePage) -> str:
    """The tokens that were made here, newest first; without `state` those that are valid."""
    wanted = query_choice(page, "state", STATES, ("valid",))
    text = query_text(page, "q").casefold()
    found = [
        token
        for token in reversed((await page.app[keys.DATABASE].read(stored.all_tokens)).values())
        if covers(page.grant, token.tags)
        and (not wanted or token.state(page.now) in wanted)
        and any(text in each.casefold() for each in (token.name, token.id, *(token.tags or ())))
    ]
    shown, pages = paged(page, found)
    _ = page.locale.gettext
    return await page.render(
        "manage/tokens.html",
        tokens=shown,
        found=len(found),
        pages=pages,
        asked={"state": page.query.get("state", "valid"), "q": query_text(page, "q")},
        messages={"revoked": _("Revoked. It is refused from now on."), "made": _("It was made before.")},
    )


# Make


class NewTokenForm(Schema):
    """What the new token is to be."""

    kind = FormChoice({"token": False, "push-key": True}, required=True)
    name = FormText(minimum=1, maximum=200)
    scopes = FormList()
    tags = FormText(maximum=5000, lines=True)
    lifetime = FormChoice({name: name for name in LIFETIMES}, required=True)


@manage_page(Act.MANAGE_TOKENS)
async def new_token(page: ManagePage) -> str:
    """The form of a new token."""
    return await page.render(
        "manage/new_token.html",
        scopes=scope_names(page),
        default_scopes=DEFAULT_SCOPES,
        suggested=query_text(page, "tag"),
        is_push_key="tag" in page.query,
        is_limited=page.grant.tags is not None,
    )


@manage_form(Act.MANAGE_TOKENS, NewTokenForm(), shown_by=new_token)
async def make_token(form: ManageForm) -> web.StreamResponse:
    """Make a token and show it, once: only a record of it is stored."""
    order = _order(form)
    record, text = made(order, form.app[AUTHENTICATOR].mint, form.now)
    await form.write(token_acts.create, record, form.actor, location="/tokens?done=made")
    address = form.context.absolute(f"/beat/{text}") if order.is_push_key else ""
    shown = await form.render("manage/made_token.html", record=record, text=text, beat_address=address)
    return await answer(form, shown)


def _order(form: ManageForm) -> TokenOrder:
    """The order of a form; raises FieldError."""
    values: dict[str, Any] = form.values
    tags = tuple(dict.fromkeys(values["tags"].replace(",", " ").split()))
    is_push_key, lifetime = values["kind"], LIFETIMES[values["lifetime"]]
    if is_push_key and (len(tags) != 1 or GLOB.intersection(tags[0])):
        raise FieldError({"tags": "a push key reports one monitor: give its tag"})
    if not set(values["scopes"]) <= set(SCOPES):
        raise FieldError({"scopes": "choose from the list"})
    if not is_push_key and not values["scopes"]:
        raise FieldError({"scopes": "choose at least one"})
    order = TokenOrder(values["name"], values["scopes"], tags, lifetime, is_push_key=is_push_key)
    if form.grant.tags is not None and not covers(form.grant, order.tags or None):
        raise FieldError({"tags": "give tags of monitors that you may see"})
    require_within(form.grant, order)
    return replace(order, scopes=()) if is_push_key else order


def scope_names(page: ManagePage) -> list[tuple[str, str]]:
    """The scopes with what each allows."""
    _ = page.locale.gettext
    meanings = {
        "status:write": _("report monitors"),
        "status:read": _("read statuses and uptimes"),
        "incident:write": _("open and change incidents and maintenance"),
        "incident:read": _("read incidents"),
        "manage:read": _("read alerts, channels, drafts, faults"),
        "alert:write": _("acknowledge and snooze alerts"),
        "incident:delete": _("delete incidents"),
        "monitor:write": _("run checks"),
        "channel:write": _("test channels, send messages again"),
        "report:read": _("read the audit log"),
        "admin": _("everything, tokens too"),
    }
    return [(scope, f"{scope}: {meanings.get(scope, scope)}") for scope in SCOPES]


# Revoke


@manage_page(Act.MANAGE_TOKENS)
async def revoke_token(page: ManagePage) -> str:
    """Ask before a token is revoked."""
    found = await page.app[keys.DATABASE].read(_visible, page.request.match_info["token"], page)
    return await page.render("manage/revoke_token.html", token=found)


def _visible(session: Session, token_id: str, page: ManagePage) -> Token:
    found = stored.all_tokens(session).get(token_id)
    if found is None or not covers(page.grant, found.tags):
        raise NotFound("token not found")
    return found


@manage_form(Act.MANAGE_TOKENS, Schema())
async def revoke(form: ManageForm) -> web.StreamResponse:
    """Revoke a token: it is refused by the next request."""
    token_id, path = form.request.match_info["token"], "/tokens?done=revoked"
    await form.write(revoke_visible, token_id, form.grant, form.actor, form.now, location=path)
    await form.app[AUTHENTICATOR].reload()
    return form.redirect(path)
