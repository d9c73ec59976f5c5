"""Passkeys: sign in with one, as a second step, once more, from an invitation, and one's own in the account.

A script asks for the options of the browser's question by a POST of the same form, puts the browser's answer
into the form, and sends it; from there on it is a form as all others.
"""

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Any

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.passkeys import LONGEST_ANSWER, RelyingParty, relying_party_of
from kener_async.domain.people import Act
from kener_async.identity import links
from kener_async.identity.sign_in import StepGone
from kener_async.store import identities
from kener_async.store import passkeys as stored_passkeys
from kener_async.store.passkeys import Passkey
from kener_async.web.manage.cookies import STEP, keep_session, visit_of
from kener_async.web.manage.federation import SIGNED_STEPS, STEP_LIMITER
from kener_async.web.manage.form_fields import FormText
from kener_async.web.manage.frame import (
    HEADERS,
    SESSIONS,
    ManageForm,
    ManagePage,
    OpenForm,
    OpenPage,
    manage_form,
    manage_page,
    open_form,
    with_next,
)
from kener_async.web.manage.invitation import invitation
from kener_async.web.manage.sign_in import (
    LONGEST_NEXT,
    again,
    next_path,
    old_digest,
    require_cookies,
    second_step,
    sign_in,
)

if TYPE_CHECKING:
    from kener_async.identity.passkey_sign_in import PasskeySignIn

LIST = "/account/passkeys"


async def _passkeys(page: OpenPage) -> "PasskeySignIn":
    sign_in_class = await asyncio.to_thread(_passkey_sign_in)
    app = page.app
    return sign_in_class(app[keys.DATABASE], app[SESSIONS], app[SIGNED_STEPS], app[keys.CLOCK])


def _passkey_sign_in() -> type["PasskeySignIn"]:
    # Imported at the first use, in a thread: the library of WebAuthn takes as long to load as many other
    # modules together.
    from kener_async.identity.passkey_sign_in import PasskeySignIn

    return PasskeySignIn


class OptionsSchema(Schema):
    """The same form asks for the options first."""


class AnswerSchema(Schema):
    answer = FormText(minimum=1, maximum=LONGEST_ANSWER)
    next = FormText(maximum=LONGEST_NEXT)


class NewPasskeySchema(Schema):
    answer = FormText(minimum=1, maximum=LONGEST_ANSWER)
    name = FormText(minimum=1, maximum=60)


class PasskeyNameSchema(Schema):
    name = FormText(minimum=1, maximum=60)


def _party(page: OpenPage) -> RelyingParty:
    """The relying party of public_url; raises NotFound where there are no passkeys."""
    try:
        if page.config.manage.passkeys:
            return relying_party_of(page.config.server.public_url)
    except Invalid:
        pass
    raise NotFound("not found")


def _options(options: dict[str, Any]) -> web.StreamResponse:
    return web.Response(
        body=json.dumps(options).encode(), headers={**HEADERS, "Content-Type": "application/json"}
    )


# Without a session


@open_form(OptionsSchema(), shown_by=sign_in)
async def sign_in_options(form: OpenForm) -> web.StreamResponse:
    """The question for any passkey that the browser has for us, as JSON."""
    party = _party(form)
    return _options((await _passkeys(form)).begin(party))


@open_form(AnswerSchema(), shown_by=sign_in)
async def post_sign_in(form: OpenForm) -> web.StreamResponse:
    """Sign in with a passkey alone."""
    require_cookies(form)
    form.app[STEP_LIMITER].take(form.network)
    cookie = await (await _passkeys(form)).sign_in(
        _party(form), form.values["answer"], visit_of(form), old_digest(form)
    )
    return keep_session(form, form.redirect(next_path(form.values["next"])), cookie)


@open_form(OptionsSchema(), shown_by=second_step)
async def second_step_options(form: OpenForm) -> web.StreamResponse:
    """The question for a passkey of the person whose password was right, as JSON."""
    party = _party(form)
    return _options(await (await _passkeys(form)).begin_second(party, STEP.secret(form)))


@open_form(AnswerSchema(), shown_by=second_step)
async def post_second_step(form: OpenForm) -> web.StreamResponse:
    """Complete a sign-in by password with a passkey."""
    require_cookies(form)
    form.app[STEP_LIMITER].take(form.network)
    target = next_path(form.values["next"])
    try:
        cookie = await (await _passkeys(form)).second_step(
            _party(form), STEP.secret(form), form.values["answer"], visit_of(form), old_digest(form)
        )
    except StepGone:
        return STEP.drop(form, form.redirect(with_next("/sign-in", target)))
    return keep_session(form, form.redirect(target), cookie)


@open_form(OptionsSchema(), shown_by=invitation, has_secret_path=True)
async def invitation_options(form: OpenForm) -> web.StreamResponse:
    """The question for a new passkey of an invited person, as JSON."""
    party, secret = _party(form), form.request.match_info["token"]
    person = await form.app[keys.DATABASE].read(links.invited, secret, form.now)
    return _options(await (await _passkeys(form)).begin_creation(party, form.config.site.title, person))


@open_form(NewPasskeySchema(), shown_by=invitation, has_secret_path=True)
async def post_invitation(form: OpenForm) -> web.StreamResponse:
    """Make a passkey in the place of a password, by an invitation."""
    require_cookies(form)
    form.app[STEP_LIMITER].take(form.network)
    cookie = await (await _passkeys(form)).create_by_invitation(
        _party(form),
        form.request.match_info["token"],
        form.values["answer"],
        form.values["name"],
        visit_of(form),
    )
    return keep_session(form, form.redirect(), cookie)


# With a session


@manage_form(Act.ACCOUNT, OptionsSchema(), shown_by=again)
async def again_options(form: ManageForm) -> web.StreamResponse:
    """The question for a passkey of the signed-in person, as JSON."""
    return _options(await (await _passkeys(form)).begin_again(_party(form), form.person))


@manage_form(Act.ACCOUNT, AnswerSchema(), shown_by=again)
async def post_again(form: ManageForm) -> web.StreamResponse:
    """Prove once more who one is, with a passkey."""
    cookie = await (await _passkeys(form)).again(
        _party(form), form.signed_in, form.values["answer"], visit_of(form)
    )
    return keep_session(form, form.redirect(next_path(form.values["next"])), cookie)


@manage_page(Act.CHANGE_FACTORS)
async def account_passkeys(page: ManagePage) -> str:
    """One's own passkeys, and the form that makes one."""
    _party(page)
    database, gettext = page.app[keys.DATABASE], page.locale.gettext
    owned = await database.read(stored_passkeys.of_person, page.person.id)
    return await page.render(
        "manage/passkeys.html",
        passkeys=[(_path_of(each), each) for each in owned],
        signs_in_elsewhere=await database.read(identities.is_known_elsewhere_only, page.person),
        messages={
            "made": gettext("The passkey is ready. Your other sessions have ended."),
            "renamed": gettext("The passkey has its new name."),
            "deleted": gettext("The passkey is gone here. Delete it in your browser or device, too."),
        },
    )


@manage_form(Act.CHANGE_FACTORS, OptionsSchema(), shown_by=account_passkeys)
async def creation_options(form: ManageForm) -> web.StreamResponse:
    """The question for a new passkey of the signed-in person, as JSON."""
    site = form.config.site.title
    return _options(await (await _passkeys(form)).begin_creation(_party(form), site, form.person))


@manage_form(Act.CHANGE_FACTORS, NewPasskeySchema(), shown_by=account_passkeys)
async def post_passkey(form: ManageForm) -> web.StreamResponse:
    """Store a new passkey; the other sessions end."""
    cookie = await (await _passkeys(form)).create(
        _party(form), form.signed_in, form.values["answer"], form.values["name"], visit_of(form)
    )
    return keep_session(form, form.redirect(f"{LIST}?done=made"), cookie)


@manage_form(Act.CHANGE_FACTORS, PasskeyNameSchema(), shown_by=account_passkeys)
async def rename_passkey(form: ManageForm) -> web.StreamResponse:
    """Give a passkey another name."""
    await (await _passkeys(form)).rename(form.signed_in, _asked(form), form.values["name"], visit_of(form))
    return form.redirect(f"{LIST}?done=renamed")


@manage_page(Act.CHANGE_FACTORS)
async def ask_to_delete(page: ManagePage) -> str:
    """The page that asks before a passkey is deleted."""
    asked = _asked(page)
    passkey = await page.app[keys.DATABASE].read(stored_passkeys.get, asked)
    if passkey is None or passkey.person != page.person.id:
        raise NotFound("no such passkey")
    return await page.render("manage/passkey_delete.html", path=_path_of(passkey), passkey=passkey)


@manage_form(Act.CHANGE_FACTORS, OptionsSchema(), shown_by=ask_to_delete)
async def delete_passkey(form: ManageForm) -> web.StreamResponse:
    """Delete a passkey; the other sessions end."""
    cookie = await (await _passkeys(form)).delete(form.signed_in, _asked(form), visit_of(form))
    return keep_session(form, form.redirect(f"{LIST}?done=deleted"), cookie)


def _path_of(passkey: Passkey) -> str:
    """The path of a passkey below that of all screens."""
    return f"{LIST}/{urlsafe_b64encode(passkey.id).decode().rstrip('=')}"


def _asked(page: OpenPage) -> bytes:
    """The id of the passkey that the path names; raises NotFound."""
    text = page.request.match_info["passkey"]
    try:
        return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, Base64Error):
        raise NotFound("no such passkey") from None
