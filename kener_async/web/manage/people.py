"""The people who sign in: invite, change rights, deactivate, reset; for admins who signed in just now."""

import asyncio
from collections.abc import Callable
from zoneinfo import ZoneInfo

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.channels.invitation_mail import InvitationText, invitation_mail
from kener_async.channels.message import NotDelivered
from kener_async.channels.smtp import MailServer
from kener_async.config.model import Config
from kener_async.domain.errors import Invalid
from kener_async.domain.people import Act, Actor, Person, Role, require_email, require_name
from kener_async.identity import links
from kener_async.locales.locale import NAMES, locale
from kener_async.store import people, sessions
from kener_async.store.interface import Session
from kener_async.store.people import PersonRecord
from kener_async.web.manage.form_bodies import FieldError
from kener_async.web.manage.form_fields import FormChoice, FormList, FormText
from kener_async.web.manage.frame import ManageForm, ManagePage, answer, manage_form, manage_page

MAIL_SERVER: web.AppKey[Callable[[Config], MailServer]] = web.AppKey("mail server")
MAIL_SECONDS = 10  # for which the page waits for the mail server

ROLES = {role.name.lower(): role for role in Role}
NOTHING = Schema.from_dict({})()

PersonWork = Callable[[Session, int, Actor, int], object]  # on the person of an id


class RightsSchema(Schema):
    role = FormChoice(ROLES, required=True)
    is_limited = FormChoice({"all": False, "some": True}, load_default=False)
    categories = FormList()
    email = FormText(maximum=254)


class NewPersonSchema(RightsSchema):
    name = FormText(minimum=1, maximum=64)


@manage_page(Act.MANAGE_PEOPLE)
async def list_people(page: ManagePage) -> str:
    """All people."""
    records = await page.app[keys.DATABASE].read(people.records, page.now)
    return await page.render("manage/people.html", records=records, roles=role_names(page))


@manage_page(Act.MANAGE_PEOPLE)
async def new_person(page: ManagePage) -> str:
    """The form that invites a person."""
    return await page.render("manage/person_new.html", roles=role_names(page), limits=category_names(page))


@manage_form(Act.MANAGE_PEOPLE, NewPersonSchema(), shown_by=new_person)
async def invite(form: ManageForm) -> web.StreamResponse:
    """Add a person, and show their link once."""
    name, email = require_name(form.values["name"]), require_email(form.values["email"])
    person, secret = await form.write(
        _invite,
        *(name, form.values["role"], _limits(form), email, form.actor, form.now),
        location=lambda result: f"/people/{result[0].id}",
    )
    return await _link_shown(form, person, secret)


@manage_page(Act.MANAGE_PEOPLE)
async def person(page: ManagePage) -> str:
    """One person, with what can be done about them."""
    _ = page.locale.gettext
    shown = await page.app[keys.DATABASE].read(people.record_of, number_of(page), page.now)
    return await page.render(
        "manage/person.html",
        record=shown,
        roles=role_names(page),
        limits=category_names(page, shown),
        messages={
            "saved": _("Saved. If role or categories changed, their sessions have ended."),
            "deactivated": _("Deactivated. Their sessions have ended."),
            "activated": _("Activated."),
            "factor-reset": _("Codes and passkeys are removed. Their sessions have ended."),
            "signed-out": _("Their sessions have ended."),
        },
    )


@manage_form(Act.MANAGE_PEOPLE, RightsSchema(), shown_by=person)
async def change(form: ManageForm) -> web.StreamResponse:
    """Change role, categories and address of a person; other rights end their sessions."""
    number, email = number_of(form), require_email(form.values["email"])
    record = await form.app[keys.DATABASE].read(people.record_of, number, form.now)
    location = f"/people/{number}?done=saved"
    await form.write(
        _change,
        *(number, form.values["role"], _limits(form, record), email, form.actor, form.now),
        location=location,
    )
    return form.redirect(location)


@manage_form(Act.MANAGE_PEOPLE, NOTHING, shown_by=person)
async def new_link(form: ManageForm) -> web.StreamResponse:
    """Make a new link by which a person sets their password, and show it once."""
    number = number_of(form)
    shown, secret = await form.write(
        _invite_again, number, form.actor, form.now, location=f"/people/{number}"
    )
    return await _link_shown(form, shown, secret)


@manage_page(Act.MANAGE_PEOPLE)
async def ask_deactivate(page: ManagePage) -> str:
    """The page that asks before a person is deactivated."""
    record = await page.app[keys.DATABASE].read(people.record_of, number_of(page), page.now)
    return await page.render("manage/person_deactivate.html", record=record)


@manage_form(Act.MANAGE_PEOPLE, NOTHING, shown_by=ask_deactivate)
async def deactivate(form: ManageForm) -> web.StreamResponse:
    """End the sessions of a person, who signs in no more."""
    return await _changed(form, people.deactivate, "deactivated")


@manage_form(Act.MANAGE_PEOPLE, NOTHING, shown_by=person)
async def activate(form: ManageForm) -> web.StreamResponse:
    """Let a person sign in again."""
    return await _changed(form, people.activate, "activated")


@manage_page(Act.MANAGE_PEOPLE)
async def ask_reset_factor(page: ManagePage) -> str:
    """The page that asks before codes and passkeys of a person are removed."""
    record = await page.app[keys.DATABASE].read(people.record_of, number_of(page), page.now)
    return await page.render("manage/person_reset_factor.html", record=record)


@manage_form(Act.MANAGE_PEOPLE, NOTHING, shown_by=ask_reset_factor)
async def reset_factor(form: ManageForm) -> web.StreamResponse:
    """Remove codes, recovery codes and passkeys of a person."""
    return await _changed(form, people.reset_second_factor, "factor-reset")


@manage_form(Act.MANAGE_PEOPLE, NOTHING, shown_by=person)
async def sign_out_person(form: ManageForm) -> web.StreamResponse:
    """End all sessions of a person."""
    return await _changed(form, sessions.end_all, "signed-out")


async def _changed(form: ManageForm, work: PersonWork, done: str) -> web.StreamResponse:
    """Change the person of the address, and say on their page what was done."""
    number = number_of(form)
    location = f"/people/{number}?done={done}"
    await form.write(work, number, form.actor, form.now, location=location)
    return form.redirect(location)


def number_of(page: ManagePage) -> int:
    """The id of the person that the address names."""
    return int(page.request.match_info["number"])


def role_names(page: ManagePage) -> dict[str, str]:
    """The roles with what each may do, for lists to choose from."""
    _ = page.locale.gettext
    return {
        "viewer": _("Viewer: sees everything, changes nothing"),
        "responder": _("Responder: alerts, incidents and maintenance"),
        "editor": _("Editor: also deletes incidents, checks, channels, templates"),
        "admin": _("Admin: also people, tokens and settings"),
    }


def category_names(page: ManagePage, record: PersonRecord | None = None) -> list[tuple[str, str]]:
    """The categories to limit a person to, as values and texts; also those that are gone and still limit."""
    known = [category.name for category in page.config.categories]
    limits = record.person.categories if record is not None else None
    return [(name, name) for name in (*known, *(name for name in limits or () if name not in known))]


def _limits(form: ManageForm, record: PersonRecord | None = None) -> tuple[str, ...] | None:
    """The categories to limit a person to, None for all; raises FieldError."""
    if not form.values["is_limited"]:
        return None
    chosen: tuple[str, ...] = form.values["categories"]
    if not chosen:
        raise FieldError({"categories": "choose at least one, or all monitors"})
    offered = {name for name, _ in category_names(form, record)}
    for name in chosen:
        if name not in offered:
            raise FieldError({"categories": f"there is no category {name}"})
    return chosen


def _invite(
    session: Session,
    name: str,
    role: Role,
    categories: tuple[str, ...] | None,
    email: str,
    actor: Actor,
    now: int,
) -> tuple[Person, str]:
    added = people.add(session, name, role, categories, email, actor, now)
    return added, links.invite(session, added, actor, now)


def _invite_again(session: Session, number: int, actor: Actor, now: int) -> tuple[Person, str]:
    invited = people.get(session, number)
    if not invited.is_active:
        raise Invalid("activate this person first")
    return invited, links.invite(session, invited, actor, now)


def _change(
    session: Session,
    number: int,
    role: Role,
    categories: tuple[str, ...] | None,
    email: str,
    actor: Actor,
    now: int,
) -> None:
    people.change_rights(session, number, role, categories, actor, now)
    people.change_email(session, number, email, actor, now)


async def _link_shown(form: ManageForm, invited: Person, secret: str) -> web.StreamResponse:
    """The page with a link, which is the answer itself: it is not stored, so it cannot be shown again.

    With `[mail]` it is also sent to the person's address, if they have one.
    """
    origin = form.config.server.public_url or str(form.request.url.origin())
    link, until = origin + form.address(links.path(secret)), form.now + links.INVITATION_SECONDS
    has_mail = bool(form.config.mail.host and invited.email)
    refusal = await _mailed(form, invited, link, until) if has_mail else ""
    shown = await form.render(
        "manage/person_link.html",
        invited=invited,
        shown=link,
        until=until,
        is_mailed=has_mail and not refusal,
        refusal=refusal,
    )
    return await answer(form, shown)


async def _mailed(form: ManageForm, invited: Person, link: str, until: int) -> str:
    """Send the link to the person's address; why it could not be sent, empty if it was."""
    config, text_locale = form.config, locale(invited.locale) if invited.locale in NAMES else form.locale
    zone = ZoneInfo(invited.zone) if invited.zone else config.site.timezone
    text = InvitationText(
        invited.name, form.person.name, config.site.title, link, text_locale.instant(until, zone, "medium")
    )
    mail = invitation_mail(config.mail, invited.email, text, text_locale, form.now)
    try:
        async with asyncio.timeout(MAIL_SECONDS):
            await form.app[MAIL_SERVER](config).send(mail)
    except TimeoutError:
        return form.locale.gettext("the mail server did not answer in time")
    except NotDelivered as error:
        return str(error)
    return ""
