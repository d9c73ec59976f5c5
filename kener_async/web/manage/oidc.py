"""Sign in with an OpenID Connect provider: the way there and the way back."""

from aiohttp import web

from kener_async.api.http.errors import status_of
from kener_async.domain.errors import DomainError, Forbidden, NotFound
from kener_async.domain.people import Act
from kener_async.identity.oidc import STEP_SECONDS
from kener_async.web.manage.cookies import VISITOR, keep_session, visit_of
from kener_async.web.manage.federation import FEDERATION, STEP_LIMITER
from kener_async.web.manage.frame import (
    ManagePage,
    OpenPage,
    answer,
    manage_page,
    open_page,
    see_other,
)
from kener_async.web.manage.sentences import sentence_of
from kener_async.web.manage.sign_in import next_path, old_digest, require_cookies


@open_page()
async def begin(page: OpenPage) -> web.StreamResponse:
    """303 to the page of the provider. It is a link, as `form-action 'self'` holds along redirects, too."""
    return await _begun(page, None)


@manage_page(Act.ACCOUNT)
async def begin_again(page: ManagePage) -> web.StreamResponse:
    """303 to the page of the provider, which shall ask the signed-in person once more."""
    return await _begun(page, page)


async def _begun(page: OpenPage, signed_in: ManagePage | None) -> web.StreamResponse:
    if page.config.manage.oidc is None:
        raise NotFound("not found")
    require_cookies(page)
    wanted, again = next_path(page.query.get("next", "")), None if signed_in is None else signed_in.person
    begun = await page.app[FEDERATION].begin(VISITOR.secret(page), wanted, again)
    return VISITOR.keep(page, see_other(begun.address), begun.browser, STEP_SECONDS)


@open_page()
async def callback(page: OpenPage) -> str | web.StreamResponse:
    """The way back from the provider; a session begins."""
    if page.config.manage.oidc is None:
        raise NotFound("not found")
    query = page.request.query
    try:
        if any(len(query.getall(name)) > 1 for name in query):
            raise Forbidden("a parameter is there twice")
        page.app[STEP_LIMITER].take(page.network)
        completed = await page.app[FEDERATION].complete(
            VISITOR.secret(page), query, visit_of(page), old_digest(page)
        )
    except DomainError as error:
        return await _refused(page, error)
    response = keep_session(page, page.redirect(completed.wanted), completed.cookie)
    return VISITOR.drop(page, response)


async def _refused(page: OpenPage, error: DomainError) -> web.StreamResponse:
    """A page that says what happened and leads back to sign-in, without starting it again by itself."""
    shown = await page.render("manage/oidc_refused.html", sentence=sentence_of(error, page.locale))
    return await answer(page, shown, status_of(error))
