"""Sign in with a password and a code, sign in again for acts that want it fresh, and sign out."""

import re

import structlog
from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.domain.errors import Forbidden, TooMany, Unauthenticated
from kener_async.domain.people import Act
from kener_async.identity.passwords import Passwords
from kener_async.identity.sessions import digest_of
from kener_async.identity.sign_in import KNOWN_BROWSER_SECONDS, SECOND_STEP_SECONDS, SignIn, StepGone
from kener_async.identity.ways import ways_of, ways_of_step
from kener_async.web.manage.cookies import (
    BROWSER,
    STEP,
    drop_session,
    keep_session,
    may_sign_in,
    old_session,
    visit_of,
)
from kener_async.web.manage.form_fields import FormPassword, FormText
from kener_async.web.manage.frame import (
    SESSIONS,
    ManageForm,
    ManagePage,
    OpenForm,
    OpenPage,
    manage_form,
    manage_page,
    open_form,
    open_page,
    with_next,
)

log = structlog.get_logger(__name__)

SIGN_IN = web.AppKey("sign in", SignIn)
PASSWORDS = web.AppKey("passwords", Passwords)
NEXT = re.compile(r"(?:[/?][!-\[\]-~]*)?")  # what follows manage_path: printable ASCII without a backslash
LONGEST_NEXT = 2000


def next_path(text: str) -> str:
    """The path below manage_path where a sign-in leads to, such as "/incidents/7?edit=1".

    It is always put after our own path, so it never leads to another site; a text of another form is the
    overview.
    """
    return text if len(text) <= LONGEST_NEXT and NEXT.fullmatch(text) else ""


class SignInSchema(Schema):
    name = FormText(minimum=1, maximum=254)
    password = FormPassword()
    next = FormText(maximum=LONGEST_NEXT)


class CodeSchema(Schema):
    code = FormText(minimum=1, maximum=40)
    next = FormText(maximum=LONGEST_NEXT)


class AgainSchema(Schema):
    password = FormPassword()
    next = FormText(maximum=LONGEST_NEXT)


@open_page()
async def sign_in(page: OpenPage) -> str | web.StreamResponse:
    """The page to sign in; with a session it leads on."""
    target = next_path(page.query.get("next", ""))
    if page.rejected is None and old_session(page) and await page.app[SESSIONS].find(old_session(page)):
        return page.redirect(with_next("/sign-in/again", target) if "again" in page.query else target)
    return await page.render(
        "manage/sign_in.html",
        next=target,
        may_sign_in=may_sign_in(page),
        messages={"signed-out": page.locale.gettext("You are signed out.")},
    )


@open_form(SignInSchema(), shown_by=sign_in)
async def post_sign_in(form: OpenForm) -> web.StreamResponse:
    """Verify name and password; a session begins, or the second step."""
    require_cookies(form)
    if not form.config.manage.password_login:
        raise Forbidden("people do not sign in with a password here")
    target = next_path(form.values["next"])
    try:
        result = await form.app[SIGN_IN].by_password(
            form.values["name"],
            form.values["password"],
            visit_of(form),
            old_digest(form),
            BROWSER.secret(form),
        )
    except (Unauthenticated, TooMany) as error:
        # Without the name, in the place of which people type passwords.
        log.info("a sign-in was refused", address=form.network, reason=type(error).__name__)
        raise
    if result.cookie is not None:
        response = keep_session(form, form.redirect(target), result.cookie)
    else:
        response = to_second_step(form, result.step or "", target)
    if result.browser is not None:
        BROWSER.keep(form, response, result.browser, KNOWN_BROWSER_SECONDS)
    return response


@open_page()
async def second_step(page: OpenPage) -> str | web.StreamResponse:
    """The page that asks for a code, after a password that was right."""
    target = next_path(page.query.get("next", ""))
    ways = await page.app[keys.DATABASE].read(ways_of_step, STEP.secret(page), page.now)
    if ways is None:
        return page.redirect(with_next("/sign-in", target))
    return await page.render("manage/second_step.html", next=target, ways=ways)


@open_form(CodeSchema(), shown_by=second_step)
async def post_second_step(form: OpenForm) -> web.StreamResponse:
    """Verify a code or a recovery code; a session begins."""
    require_cookies(form)
    target = next_path(form.values["next"])
    try:
        cookie = await form.app[SIGN_IN].by_code(
            STEP.secret(form), form.values["code"], visit_of(form), old_digest(form)
        )
    except StepGone:
        return STEP.drop(form, form.redirect(with_next("/sign-in", target)))
    return keep_session(form, form.redirect(target), cookie)


@manage_page(Act.ACCOUNT)
async def again(page: ManagePage) -> str:
    """The page of a signed-in person who must prove again who they are."""
    target = next_path(page.query.get("next", ""))
    ways = await page.app[keys.DATABASE].read(ways_of, page.person)
    return await page.render("manage/sign_in_again.html", next=target, ways=ways)


@manage_form(Act.ACCOUNT, AgainSchema(), shown_by=again)
async def post_again(form: ManageForm) -> web.StreamResponse:
    """Verify the password, or a code, of the signed-in person; a new session begins."""
    require_cookies(form)
    cookie = await form.app[SIGN_IN].again(form.signed_in, form.values["password"], visit_of(form))
    return keep_session(form, form.redirect(next_path(form.values["next"])), cookie)


@manage_page(Act.ACCOUNT)
async def sign_out(page: ManagePage) -> str:
    """The page with the button that signs out."""
    return await page.render("manage/sign_out.html")


@manage_form(Act.ACCOUNT, Schema.from_dict({})(), shown_by=sign_out)
async def post_sign_out(form: ManageForm) -> web.StreamResponse:
    """End the session."""
    await form.app[SESSIONS].end(form.signed_in)
    return drop_session(form, form.redirect("/sign-in?done=signed-out"))


def require_cookies(page: OpenPage) -> None:
    """Raise Forbidden where the cookie of a session would be sent in clear text."""
    if not may_sign_in(page):
        raise Forbidden("signing in needs https: see public_url and trusted_proxies of [server]")


def old_digest(page: OpenPage) -> bytes | None:
    """The digest of the session that the browser had before, which a new one replaces."""
    cookie = old_session(page)
    return digest_of(cookie) if cookie else None


def to_second_step(page: OpenPage, step: str, target: str) -> web.StreamResponse:
    """303 to the page that asks for a code, with the secret of the step in a cookie."""
    return STEP.keep(page, page.redirect(with_next("/second-step", target)), step, SECOND_STEP_SECONDS)
