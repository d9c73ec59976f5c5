"""One's own account: password, second factor, sessions, language and zone."""

from typing import Any
from zoneinfo import available_timezones

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.domain.calendar import MINUTE
from kener_async.domain.errors import Forbidden, Invalid, NotFound
from kener_async.domain.people import Act, NotFresh, is_fresh
from kener_async.identity import accounts, codes
from kener_async.identity.accounts import Account
from kener_async.locales.locale import NAMES
from kener_async.store import challenges, people, sessions
from kener_async.web.manage.browsers import browser_of
from kener_async.web.manage.cookies import drop_session, keep_session, visit_of
from kener_async.web.manage.form_bodies import FieldError
from kener_async.web.manage.form_fields import FormChoice, FormPassword, FormText
from kener_async.web.manage.frame import (
    SESSIONS,
    ManageForm,
    ManagePage,
    answer,
    manage_form,
    manage_page,
    of_person,
)
from kener_async.web.manage.invitation import checked_password
from kener_async.web.manage.sign_in import PASSWORDS, SIGN_IN, require_cookies

CODES_SET_UP = "codes"  # the kind of challenges that hold a secret until its first code was typed
SET_UP_SECONDS = 30 * MINUTE


class PasswordSchema(Schema):
    current = FormPassword()
    password = FormPassword()
    repeated = FormPassword()


class FirstCodeSchema(Schema):
    setup = FormText(minimum=1, maximum=64)
    code = FormText(minimum=1, maximum=40)


class SessionSchema(Schema):
    session = FormText(minimum=64, maximum=64)


class DisplaySchema(Schema):
    locale = FormChoice({"": "", **{tag: tag for tag in NAMES}})
    zone = FormText(maximum=64)


NOTHING = Schema.from_dict({})()


@manage_page(Act.ACCOUNT)
async def account(page: ManagePage) -> str:
    """The account of the signed-in person."""
    database, idle = page.app[keys.DATABASE], page.config.manage.session_idle
    record = await database.read(people.record_of, page.person.id, page.now)
    listed = await database.read(sessions.of_person, page.person.id, page.now - idle, page.now)
    _ = page.locale.gettext
    return await page.render(
        "manage/account.html",
        record=record,
        sessions=[(each, browser_of(each.agent)) for each in listed],
        languages=[("", _("That of the browser")), *NAMES.items()],
        messages={
            "password": _("The password is changed, and other sessions have ended."),
            "codes": _("Codes are set up, and other sessions have ended."),
            "codes-removed": _("Codes are removed, and other sessions have ended."),
            "ended": _("The session has ended."),
            "saved": _("Saved."),
        },
    )


@manage_form(Act.ACCOUNT, PasswordSchema(), shown_by=account)
async def change_password(form: ManageForm) -> web.StreamResponse:
    """Change the password, or set one where there is none; other sessions end."""
    require_cookies(form)
    if not form.config.manage.password_login:
        raise Forbidden("people do not sign in with a password here")
    person = form.person
    password = checked_password(form.values, person)
    if person.password is None:
        require_fresh(form)
    elif not await form.app[SIGN_IN].is_password(person, form.values["current"]):
        raise FieldError({"current": "is wrong"})
    async with form.app[PASSWORDS].turn():
        hashed = await form.app[PASSWORDS].hashed(password)
    cookie = await form.write(
        accounts.change_password, account_of(form), hashed, location="/account?done=password"
    )
    return keep_session(form, form.redirect("/account?done=password"), cookie)


@manage_page(Act.CHANGE_FACTORS)
async def set_up_codes(page: ManagePage) -> str:
    """The page with the QR image of a new secret."""
    setup = page.form("/account/codes").value("setup")
    key = await _key_of(page, setup)
    if key is None:
        key = codes.new_key()
        body = {"person": page.person.id, "key": key.hex()}
        setup = await page.app[keys.DATABASE].write(
            challenges.add, CODES_SET_UP, body, page.now + SET_UP_SECONDS
        )
    address = codes.address(key, page.person.name, page.config.site.title)
    return await page.render(
        "manage/account_codes.html", setup=setup, key=codes.key_text(key), image=codes.qr_image(address)
    )


@manage_form(Act.CHANGE_FACTORS, FirstCodeSchema(), shown_by=set_up_codes)
async def post_codes(form: ManageForm) -> web.StreamResponse:
    """Take the secret in use, after the first code of it; shows the recovery codes, once."""
    require_cookies(form)
    key = await _key_of(form, form.values["setup"])
    if key is None:
        raise Invalid("this took too long: scan the new image")
    step = codes.step_of(key, form.values["code"], form.now)
    if step is None:
        raise FieldError({"code": "is wrong: is the time of both devices right?"})
    recovery = codes.new_recovery_codes()
    cookie = await form.write(
        accounts.set_codes,
        account_of(form),
        key,
        step,
        _digests(form, recovery),
        location="/account?done=codes",
    )
    return await _recovery_codes_shown(form, recovery, cookie)


@manage_page(Act.CHANGE_FACTORS)
async def ask_remove_codes(page: ManagePage) -> str:
    """The page that asks before codes are removed."""
    return await page.render("manage/account_codes_remove.html")


@manage_form(Act.CHANGE_FACTORS, NOTHING, shown_by=ask_remove_codes)
async def remove_codes(form: ManageForm) -> web.StreamResponse:
    """Remove the codes; other sessions end."""
    require_cookies(form)
    record = await form.app[keys.DATABASE].read(people.record_of, form.person.id, form.now)
    if form.config.manage.second_factor == "required" and not record.factors.passkeys:
        raise Invalid("a second factor is required here: set up a passkey first")
    cookie = await form.write(accounts.remove_codes, account_of(form), location="/account?done=codes-removed")
    return keep_session(form, form.redirect("/account?done=codes-removed"), cookie)


@manage_form(Act.CHANGE_FACTORS, NOTHING, shown_by=account)
async def renew_recovery_codes(form: ManageForm) -> web.StreamResponse:
    """Make new recovery codes, and show them once; those before are void."""
    require_cookies(form)
    if form.person.code_key is None:
        raise Invalid("set up codes first")
    recovery = codes.new_recovery_codes()
    cookie = await form.write(
        accounts.renew_recovery_codes, account_of(form), _digests(form, recovery), location="/account"
    )
    return await _recovery_codes_shown(form, recovery, cookie)


@manage_form(Act.ACCOUNT, SessionSchema(), shown_by=account)
async def end_session(form: ManageForm) -> web.StreamResponse:
    """End one session of one's own."""
    try:
        digest = bytes.fromhex(form.values["session"])
    except ValueError:
        raise NotFound("there is no such session") from None
    location = "/account?done=ended"
    await form.write(sessions.end_own, form.person.id, digest, form.actor, form.now, location=location)
    return form.redirect(location)


@manage_form(Act.ACCOUNT, NOTHING, shown_by=account)
async def sign_out_everywhere(form: ManageForm) -> web.StreamResponse:
    """End all sessions of one's own, also this one."""
    location = "/sign-in?done=signed-out"
    await form.write(sessions.end_all, form.person.id, form.actor, form.now, location=location)
    return drop_session(form, form.redirect(location))


@manage_form(Act.ACCOUNT, DisplaySchema(), shown_by=account)
async def change_display(form: ManageForm) -> web.StreamResponse:
    """Change the language and the zone of one's pages."""
    locale, zone = form.values["locale"], form.values["zone"]
    if zone and zone not in available_timezones():
        raise FieldError({"zone": "is not the name of a zone, such as Europe/Berlin"})
    location = "/account?done=saved"
    await form.write(
        people.set_display, form.person.id, locale, zone, form.actor, form.now, location=location
    )
    return form.redirect(location)


def require_fresh(page: ManagePage) -> None:
    """Raise NotFresh unless the person proved a short time ago who they are."""
    if not is_fresh(page.signed_in.fresh_at, page.now):
        raise NotFresh("sign in again to go on")


def account_of(form: ManageForm) -> Account:
    """The signed-in person at their browser."""
    return Account(form.app[SESSIONS], form.person, form.signed_in.digest, visit_of(form), form.now)


async def _key_of(page: ManagePage, setup: str) -> bytes | None:
    """The secret of codes that is being set up by this person, if it still is."""
    body: dict[str, Any] | None = await page.app[keys.DATABASE].read(
        challenges.find, CODES_SET_UP, setup, page.now
    )
    return bytes.fromhex(body["key"]) if body is not None and body["person"] == page.person.id else None


def _digests(form: ManageForm, recovery: list[str]) -> list[bytes]:
    digests = [codes.recovery_digest(form.person.id, code) for code in recovery]
    return [digest for digest in digests if digest is not None]


async def _recovery_codes_shown(form: ManageForm, recovery: list[str], cookie: str) -> web.StreamResponse:
    """The page with recovery codes, in the new session: it is the answer itself, and never shown again."""
    signed_in = await form.app[SESSIONS].find(cookie)
    page = form if signed_in is None else of_person(form, signed_in)
    shown = await answer(page, await page.render("manage/recovery_codes.html", recovery=recovery))
    return keep_session(page, shown, cookie)
