"""The `manage_page` and `manage_form` decorators: make handlers of functions that show a screen or act.

    @manage_page(Act.SEE)
    async def incident(page: ManagePage) -> str:
        return await page.render("manage/incident.html", incident=...)

    @manage_form(Act.WRITE_INCIDENT, UpdateSchema(), shown_by=incident)
    async def post_update(form: ManageForm) -> web.StreamResponse:
        number = await form.write(store.post_update, ..., location="/incidents/7")
        return form.redirect("/incidents/7?done=posted")

A form that is refused is shown by the screen `shown_by`, with the error beside its field and everything typed
kept; without it, by the page at the address of the form. `open_page` and `open_form` are the same without a
session, for signing in.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.api.http.errors import status_of
from kener_async.api.http.policy import SCREEN, with_policy
from kener_async.api.http.responses import NO_STORE, Handler
from kener_async.config.manage_rules import why_no_passkeys
from kener_async.config.model import Config
from kener_async.domain.access import Grant
from kener_async.domain.calendar import nearest_showable
from kener_async.domain.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, TooMany
from kener_async.domain.people import Act, Actor, ActorKind, NotFresh, Person, grant_of, require
from kener_async.domain.recurrence import instant_of_local
from kener_async.identity import forms
from kener_async.identity.sessions import COOKIE, LOOPBACK_COOKIE, Sessions, SignedIn
from kener_async.locales.locale import NAMES, Locale, locale
from kener_async.store import people, submissions
from kener_async.store.interface import Session
from kener_async.web.manage.form_bodies import MAX_OPEN_BODY, FieldError, Typed, errors_of, load, read_form
from kener_async.web.manage.form_views import KEY_FIELD, TOKEN_FIELD, FormView, Rejected
from kener_async.web.manage.origins import is_secure, network_of, require_allowed, require_own_origin
from kener_async.web.manage.proxy import named_by_proxy, session_by_header
from kener_async.web.manage.sentences import sentence_of, translated
from kener_async.web.pages.cache import COMPRESS, best_encoding
from kener_async.web.pages.page import HTML, visitor_locale
from kener_async.web.pages.templates import TemplateContext, Templates

T = TypeVar("T")

SESSIONS = web.AppKey("sessions", Sessions)
BEGUN_SESSION = web.RequestKey("the cookie of the session that this request began", str)
SCREENS: web.AppKey[Mapping[str, Act]] = web.AppKey("screens")  # the acts of all pages, by path
TEMPLATES = web.AppKey("templates of the signed-in side", Templates)

NO_PERSON = "no person yet: kener-async person add --role admin NAME"
SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": NO_STORE,
    "Content-Security-Policy": SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # not no-referrer, with which browsers send no Origin
    "X-Robots-Tag": "noindex",
}
REFRESH_HEADER = "X-Kener-Refresh"  # of requests that manage.js makes by itself
MIN_COMPRESSED = 512  # bytes
MIN_KEY, MAX_KEY = 16, 64  # characters of a one-time key
SECRET_FIELD = re.compile("password|code|secret")  # names of fields that are never shown again
OWN_ACCOUNT = (Act.ACCOUNT, Act.CHANGE_FACTORS)  # what a person may do before they set up a second factor
SET_UP_PATH = "/account/codes"  # of the page that sets up a second factor
MAKES = frozenset({Act.WRITE_INCIDENT, Act.DELETE_INCIDENT, Act.WRITE_TEXTS})  # as `own` of [manage] allows


# What handlers get


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPage:
    """A request for a page without a session, such as the one to sign in."""

    request: web.Request
    context: TemplateContext
    now: int
    rejected: Rejected | None = None

    @property
    def app(self) -> web.Application:
        return self.request.app

    @property
    def config(self) -> Config:
        return self.context.config

    @property
    def locale(self) -> Locale:
        return self.context.locale

    @property
    def zone(self) -> ZoneInfo:
        """The zone of all times of the page: the person's, else that of the site."""
        return self.context.zone

    @property
    def network(self) -> str:
        """The address of the client; empty if a proxy does not say it."""
        return network_of(self.request)

    @property
    def path(self) -> str:
        """The path of this page below that of all screens: "" of the overview, "/incidents"."""
        return path_below(self.request)

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query

    @property
    def done(self) -> str:
        """The name of what was done just now, which the page confirms: "saved" of ?done=saved."""
        return self.request.query.get("done", "")

    @property
    def offers_passkeys(self) -> bool:
        """Whether browsers can use passkeys at the address of this site."""
        return self.config.manage.passkeys and not why_no_passkeys(self.config.server.public_url)

    def local(self, instant: int | None) -> str:
        """An instant as a `datetime-local` field has it, in the zone of the page; empty for None."""
        if instant is None:
            return ""
        return datetime.fromtimestamp(nearest_showable(instant), self.zone).strftime("%Y-%m-%dT%H:%M")

    def address(self, path: str = "") -> str:
        """The address of a screen, with base_path and manage_path; "" is the overview."""
        server = self.config.server
        return f"{server.base_path}{server.manage_path}{path}"

    def form(self, path: str) -> FormView:
        """The form that is posted to a path below that of all screens; if refused, with what was typed."""
        view = FormView(self.address(path), "", forms.one_time_key())
        return self._with_typed(view, path)

    def _with_typed(self, view: FormView, path: str) -> FormView:
        rejected = self.rejected
        if rejected is None or rejected.path != unquote(urlsplit(path).path):
            return view
        key = rejected.typed.get(KEY_FIELD, (view.key,))[0]  # it has not acted, or is answered as then
        return replace(view, key=key, typed=rejected.typed, errors=rejected.errors)

    async def render(self, template: str, **values: Any) -> str:
        """Render a template with the values that every template has, `page`, `address`, and these."""
        common = {"page": self, "now": self.now, "address": self.address, "messages": {}, "person": None}
        return await self.app[TEMPLATES].render(template, self.context, **{**common, **values})

    def redirect(self, path: str = "") -> web.StreamResponse:
        """303 to a screen."""
        return see_other(self.address(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagePage(OpenPage):
    """A request of a signed-in person for a screen. `tags` are the monitors that the person may see."""

    signed_in: SignedIn
    tags: frozenset[str]
    grant: Grant

    @property
    def person(self) -> Person:
        return self.signed_in.person

    @property
    def actor(self) -> Actor:
        """The person, for the audit log."""
        return Actor(ActorKind.PERSON, self.person.name, self.network)

    def may(self, act: Act) -> bool:
        """Whether the role of the person is enough for an act, and the settings let it be done here."""
        return self.person.role >= act.permission.role and not is_owned_elsewhere(self.config, act)

    def leads_to(self, path: str) -> bool:
        """Whether there is a screen at a path, and the role of the person is enough for it."""
        act = self.app[SCREENS].get(path)
        return act is not None and self.may(act)

    def form(self, path: str) -> FormView:
        """The form that is posted to a path below that of all screens; if refused, with what was typed."""
        token = forms.token(self.signed_in.form_key)
        return self._with_typed(FormView(self.address(path), token, forms.one_time_key()), path)

    async def render(self, template: str, **values: Any) -> str:
        """Render a template with the values that every template has, the person and these."""
        return await OpenPage.render(self, template, **{"person": self.person, **values})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenForm(OpenPage):
    """A form that was sent without a session; `values` are loaded by its schema."""

    values: dict[str, Any]
    key: str

    async def write(
        self, work: Callable[..., T], *args: Any, location: str | Callable[[T], str], **kwargs: Any
    ) -> T:
        """Run `work(session, *args)` in one transaction, which claims the one-time key of the form first.

        `location` is the path that the act leads to, perhaps made of the result. A form that was sent before
        does nothing: it is answered with the location of then, which this raises as a redirection. Raises
        OldForm without a key.
        """
        _require_key(self.key)
        return await _write_once(self, self.key, work, args, kwargs, location)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManageForm(ManagePage):
    """A form that a signed-in person sent; `values` are loaded by its schema."""

    values: dict[str, Any]
    key: str

    async def write(
        self, work: Callable[..., T], *args: Any, location: str | Callable[[T], str], **kwargs: Any
    ) -> T:
        """As `OpenForm.write`."""
        return await _write_once(self, self.key, work, args, kwargs, location)

    def instant(self, moment: datetime) -> int:
        """The UTC seconds of a local time that was typed, in the zone of the page.

        One that does not exist is the first instant after the gap, one that exists twice the first.
        """
        return instant_of_local(moment, self.zone)


async def _write_once(
    page: OpenPage,
    key: str,
    work: Callable[..., T],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    location: str | Callable[[T], str],
) -> T:
    try:
        return await page.app[keys.DATABASE].write(_once, key, work, args, kwargs, location, page.now)
    except SubmittedBefore as before:
        raise web.HTTPSeeOther(page.address(before.location)) from None


def _once(
    session: Session,
    key: str,
    work: Callable[..., T],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    location: str | Callable[[T], str],
    now: int,
) -> T:
    before = submissions.claim(session, key, "" if callable(location) else location, now)
    if before is not None:
        raise SubmittedBefore(before)
    result = work(session, *args, **kwargs)
    if callable(location):
        submissions.settle(session, key, location(result))
    return result


async def _led_to(page: OpenPage, key: str) -> str | None:
    """Where a form with this one-time key led to, if it acted before.

    Sent again, it may be refused before it claims its key: what it deletes is not there any more.
    """
    return await page.app[keys.DATABASE].read(submissions.location_of, key) if key else None


class SubmittedBefore(Exception):
    """The form was sent before; `location` is where it led."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


# The decorators

PageHandler = Callable[[ManagePage], Awaitable[str | web.StreamResponse]]
FormHandler = Callable[[ManageForm], Awaitable[web.StreamResponse]]
OpenPageHandler = Callable[[OpenPage], Awaitable[str | web.StreamResponse]]
OpenFormHandler = Callable[[OpenForm], Awaitable[web.StreamResponse]]


def manage_page(act: Act) -> Callable[[PageHandler], Handler]:
    """Make a GET handler of a function that shows a screen to people who may do the act."""

    def decorate(show: PageHandler) -> Handler:
        async def respond(page: OpenPage) -> web.StreamResponse:
            try:
                signed_in = await _signed_in(page.request)
                if signed_in is None:
                    return _to_sign_in(page)
                page = of_person(page, signed_in)
                _require(act, page)
                return await answer(page, await show(page))
            except NotFresh:
                return _to_sign_in(page, again=True)
            except SecondFactorMissing:
                return page.redirect(SET_UP_PATH)
            except DomainError as error:
                return await _error_page(page, error)

        return _handler(act, show, respond)

    return decorate


def manage_form(
    act: Act, schema: Schema, *, shown_by: Handler | None = None
) -> Callable[[FormHandler], Handler]:
    """Make a POST handler of a function that acts for people who may do the act.

    `shown_by` is the handler of the page that has the form; None: that of the form's own address.
    """

    def decorate(handle: FormHandler) -> Handler:
        async def respond(page: OpenPage) -> web.StreamResponse:
            typed: Typed | None = None
            key = ""
            try:
                require_own_origin(page.request)
                signed_in = await _signed_in(page.request)
                typed = await read_form(page.request, is_signed_in=signed_in is not None)
                if signed_in is None:
                    return await _typed_kept(page, typed, 401)
                page = of_person(page, signed_in)
                _require(act, page)
                key = _checked_key(typed, signed_in)
                return await handle(ManageForm(**_fields(page), values=load(schema, typed), key=key))
            except NotFresh:
                return await _typed_kept(page, typed or {}, 403)
            except SecondFactorMissing:
                return page.redirect(SET_UP_PATH)
            except DomainError as error:
                if not isinstance(page, ManagePage) or typed is None:
                    return await _error_page(page, error)
                if (location := await _led_to(page, key)) is not None:
                    return page.redirect(location)
                return await _shown_again(page, typed, error, schema, shown_by)

        return _handler(act, handle, respond)

    return decorate


def open_page(*, has_secret_path: bool = False) -> Callable[[OpenPageHandler], Handler]:
    """Make a GET handler of a function that shows a page without a session.

    `has_secret_path`: what varies in the path is a secret, which logs do not name.
    """

    def decorate(show: OpenPageHandler) -> Handler:
        async def respond(page: OpenPage) -> web.StreamResponse:
            try:
                return await answer(page, await show(page))
            except DomainError as error:
                return await _error_page(page, error)

        return _handler(None, show, respond, has_secret_path)

    return decorate


def open_form(
    schema: Schema, *, shown_by: Handler | None = None, has_secret_path: bool = False
) -> Callable[[OpenFormHandler], Handler]:
    """Make a POST handler of a function that acts without a session, on a form of our own pages only."""

    def decorate(handle: OpenFormHandler) -> Handler:
        async def respond(page: OpenPage) -> web.StreamResponse:
            typed: Typed | None = None
            try:
                require_own_origin(page.request)
                typed = await read_form(page.request, is_signed_in=False, limit=MAX_OPEN_BODY)
                key = typed.get(KEY_FIELD, ("",))[0]
                return await handle(OpenForm(**_fields(page), values=load(schema, typed), key=key))
            except DomainError as error:
                if typed is None:
                    return await _error_page(page, error)
                return await _shown_again(page, typed, error, schema, shown_by)

        return _handler(None, handle, respond, has_secret_path)

    return decorate


def _handler(
    act: Act | None,
    function: Callable[[Any], Awaitable[str | web.StreamResponse]],
    respond: Callable[[OpenPage], Awaitable[web.StreamResponse]],
    has_secret_path: bool = False,
) -> Handler:
    """The handler of a route: without any person nothing is there but a sentence."""

    @wraps(function)
    async def handler(request: web.Request) -> web.StreamResponse:
        require_allowed(request)
        if not await request.app[keys.DATABASE].glance(people.exists):
            return web.Response(status=404, text=NO_PERSON, headers=HEADERS)
        config = request.app[keys.RUNNING].config
        context = request.app[TEMPLATES].context(config, visitor_locale(request))
        page = OpenPage(request=request, context=context, now=request.app[keys.CLOCK]())
        try:
            named_by_proxy(request)
        except Forbidden as error:
            return await _error_page(page, error)
        response = await respond(page)
        if begun := request.get(BEGUN_SESSION):
            set_cookie(page, response, session_cookie_name(page), begun, config.manage.session_length)
        return response

    handler.show = function  # type: ignore[attr-defined]
    return with_policy(replace(SCREEN, act=act, has_secret_path=has_secret_path), handler)


# Who asks


def session_cookie(request: web.Request) -> str:
    """What the cookie of a session holds; empty without one."""
    config = request.app[keys.RUNNING].config
    return request.cookies.get(COOKIE if is_secure(request, config) else LOOPBACK_COOKIE, "")


def session_cookie_name(page: OpenPage) -> str:
    """The name of the cookie of a session, as the browser speaks https or not."""
    return COOKIE if is_secure(page.request, page.config) else LOOPBACK_COOKIE


def set_cookie(page: OpenPage, response: web.StreamResponse, name: str, value: str, seconds: int) -> None:
    """Set a cookie for this host, which scripts cannot read; with no seconds it is deleted."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=is_secure(page.request, page.config),
        httponly=True,
        samesite="Lax",
    )


async def _signed_in(request: web.Request) -> SignedIn | None:
    """The signed-in person by the cookie of the request, or whom a trusted proxy names; raises Forbidden."""
    cookie = session_cookie(request)
    is_seen = request.headers.get(REFRESH_HEADER) is None
    found = await request.app[SESSIONS].find(cookie, is_seen=is_seen) if cookie else None
    begun = await session_by_header(request, found)
    if begun is None:
        return found
    request[BEGUN_SESSION] = begun
    return await request.app[SESSIONS].find(begun)


def of_person(page: OpenPage, signed_in: SignedIn) -> ManagePage:
    """The page of a person, in their language and zone, with the monitors that they may see."""
    config, person = page.config, signed_in.person
    chosen = locale(person.locale) if person.locale in NAMES else page.locale
    zone = ZoneInfo(person.zone) if person.zone else None
    context = page.app[TEMPLATES].context(config, chosen, zone)
    limits = person.categories
    tags = frozenset(one.tag for one in config.monitors if limits is None or one.category in limits)
    grant = grant_of(person, None if limits is None else tags)
    return ManagePage(
        request=page.request, context=context, now=page.now, signed_in=signed_in, tags=tags, grant=grant
    )


def _require(act: Act, page: ManagePage) -> None:
    """Raise Forbidden unless the person may do this now.

    Raises NotFresh if they must sign in again for it, SecondFactorMissing if they must set one up first.
    """
    is_required = page.config.manage.second_factor == "required"
    if is_required and page.signed_in.lacks_second_factor and act not in OWN_ACCOUNT:
        raise SecondFactorMissing("set up a second factor first")
    require(act, page.person, page.signed_in.fresh_at, page.now)
    if is_owned_elsewhere(page.config, act):
        raise Forbidden("nothing may be made here: see own of [manage] in the configuration")


def is_owned_elsewhere(config: Config, act: Act) -> bool:
    """Whether the settings leave what an act makes to the configuration file and the contract's API."""
    return config.manage.own == "none" and act in MAKES


class SecondFactorMissing(Forbidden):
    """The settings require a second factor, and the person has none yet."""


def _checked_key(typed: Typed, signed_in: SignedIn) -> str:
    """The one-time key of a form of this session; raises FieldError."""
    if not forms.check(signed_in.form_key, typed.get(TOKEN_FIELD, ("",))[0]):
        raise OldForm(
            {"": "You have signed in since this form was opened. Look at it once more and send it."}
        )
    key = typed.get(KEY_FIELD, ("",))[0]
    _require_key(key)
    return key


def _require_key(key: str) -> None:
    """Raise OldForm unless it may be a one-time key: an empty one would be that of every form without."""
    if not MIN_KEY <= len(key) <= MAX_KEY:
        raise OldForm({"": "The form is incomplete. Look at it once more and send it."})


class OldForm(FieldError):
    """A form that was not made for this session."""


class ShowAgain(FieldError):
    """The form is shown again with what was typed: one of its buttons asks for more to choose from."""

    def __init__(self) -> None:
        super().__init__({})


def _fields(page: OpenPage) -> dict[str, Any]:
    """The fields of a page by name, for a form that has them too."""
    return {each.name: getattr(page, each.name) for each in fields(page)}


# Addresses


def path_below(request: web.Request) -> str:
    """The path of a request below that of all screens, such as "/incidents/7"; "" is the overview."""
    return request.path.removeprefix(request.app[keys.RUNNING].started_with.server.manage_path).rstrip("/")


def _to_sign_in(page: OpenPage, again: bool = False) -> web.StreamResponse:
    """303 to the page to sign in, which leads back here."""
    query = page.request.rel_url.raw_query_string
    back = page.path + (f"?{query}" if query else "")
    return page.redirect(with_next("/sign-in?again=1" if again else "/sign-in", back))


def with_next(path: str, back: str) -> str:
    """A path of a sign-in that leads to another path afterwards; both are below that of all screens."""
    if not back:
        return path
    return f"{path}{'&' if '?' in path else '?'}next={quote(back, safe='')}"


def see_other(address: str) -> web.StreamResponse:
    """303: what a POST leads to."""
    return web.Response(status=303, headers={"Location": address, **HEADERS})


# Answers


async def answer(page: OpenPage, shown: str | web.StreamResponse, status: int = 200) -> web.StreamResponse:
    """The response of a page, compressed as the browser accepts it."""
    if not isinstance(shown, str):
        return shown
    headers = {
        "Content-Type": HTML,
        "Content-Language": page.locale.tag,
        "Vary": "Accept-Encoding",
        **HEADERS,
    }
    body = shown.encode()
    encoding = best_encoding(page.request.headers.get("Accept-Encoding", "")[:256])
    if encoding and len(body) >= MIN_COMPRESSED:
        body = await asyncio.to_thread(COMPRESS[encoding], body)
        headers["Content-Encoding"] = encoding
    return web.Response(status=status, body=body, headers=headers)


async def _error_page(page: OpenPage, error: DomainError) -> web.StreamResponse:
    status = status_of(error)
    headers = {"Retry-After": "5"} if status == 503 else {}
    shown = await page.render("manage/error.html", status=status, sentence=sentence_of(error, page.locale))
    response = await answer(page, shown, status)
    response.headers.update(headers)
    if status in (408, 413):
        response.force_close()  # the rest of the body is not worth reading
    return response


async def _shown_again(
    page: OpenPage, typed: Typed, error: DomainError, schema: Schema, shown_by: Handler | None
) -> web.StreamResponse:
    """The page of a refused form, with the errors beside the fields and everything typed kept."""
    show = getattr(shown_by or _page_handler(page.request), "show", None)
    if show is None or isinstance(error, NotFound | Forbidden):
        return await _error_page(page, error)
    if isinstance(error, Invalid):
        errors = {n: translated(text, page.locale) for n, text in errors_of(error, schema).items()}
    else:
        errors = {"": sentence_of(error, page.locale)}
    again = replace(
        page, rejected=Rejected(path_below(page.request), typed, errors, isinstance(error, Conflict))
    )
    try:
        shown = await show(again)
    except DomainError as other:
        return await _error_page(page, other)
    statuses: Mapping[type[DomainError], int] = {OldForm: 403, ShowAgain: 200}
    response = await answer(page, shown, statuses.get(type(error)) or status_of(error))
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.seconds)
    return response


def _page_handler(request: web.Request) -> Handler | None:
    """The handler of a GET of the address that the request is for."""
    resource = request.match_info.route.resource
    routes = () if resource is None else resource
    return next((route.handler for route in routes if route.method == "GET"), None)


async def _typed_kept(page: OpenPage, typed: Typed, status: int) -> web.StreamResponse:
    """A page that keeps what was typed until the person has signed in, and then sends it."""
    kept = [
        (name, value)
        for name, values in typed.items()
        if name != TOKEN_FIELD and not SECRET_FIELD.search(name)
        for value in values
    ]
    shown = await page.render("manage/kept.html", kept=kept, status=status, form=page.form(page.path))
    return await answer(page, shown, status)
