"""The page of an invitation, on which a person sets what they sign in with."""

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.domain.errors import Forbidden
from kener_async.domain.people import Person
from kener_async.identity import accounts, links
from kener_async.identity.passwords import require_good
from kener_async.identity.sessions import has_second_factor
from kener_async.web.manage.cookies import keep_session, visit_of
from kener_async.web.manage.form_bodies import FieldError
from kener_async.web.manage.form_fields import FormPassword
from kener_async.web.manage.frame import SESSIONS, OpenForm, OpenPage, open_form, open_page
from kener_async.web.manage.sign_in import PASSWORDS, require_cookies, to_second_step


class NewPasswordSchema(Schema):
    password = FormPassword()
    repeated = FormPassword()


@open_page(has_secret_path=True)
async def invitation(page: OpenPage) -> str:
    """The page of a link that is good; raises NotFound for others."""
    require_cookies(page)
    person = await _invited(page)
    return await page.render(
        "manage/invitation.html",
        invited=person,
        token=page.request.match_info["token"],
        has_factor=await page.app[keys.DATABASE].read(has_second_factor, person),
    )


@open_form(NewPasswordSchema(), shown_by=invitation, has_secret_path=True)
async def accept(form: OpenForm) -> web.StreamResponse:
    """Set the password, and sign the person in."""
    require_cookies(form)
    if not form.config.manage.password_login:
        raise Forbidden("people do not sign in with a password here")
    password = checked_password(form.values, await _invited(form))
    async with form.app[PASSWORDS].turn():
        hashed = await form.app[PASSWORDS].hashed(password)
    secret, visit = form.request.match_info["token"], visit_of(form)
    result = await form.write(
        accounts.accept, form.app[SESSIONS], secret, hashed, visit, form.now, location=""
    )
    if result.cookie is None:
        return to_second_step(form, result.step or "", "")
    return keep_session(form, form.redirect(), result.cookie)


def checked_password(values: dict[str, str], person: Person) -> str:
    """The new password of a form, which a person may choose; raises Invalid."""
    password = values["password"]
    require_good(password, name=person.name, email=person.email)
    if values["repeated"] != password:
        raise FieldError({"repeated": "is not the same as above"})
    return password


async def _invited(page: OpenPage) -> Person:
    secret = page.request.match_info["token"]
    return await page.app[keys.DATABASE].read(links.invited, secret, page.now)
