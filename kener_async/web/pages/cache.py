"""Finished pages: each made once for a snapshot and a language, compressed once, sent to all who ask."""

import asyncio
import gzip
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from hashlib import blake2b

import brotli
from aiohttp import web

from kener_async import keys
from kener_async.api.http.responses import PrebuiltHead, PrebuiltResponse
from kener_async.domain.errors import TooSlow
from kener_async.web.pages import locales
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.snapshot import SNAPSHOTS, Snapshot
from kener_async.web.pages.throttle import FairQueue, RenderThrottle

HTML = "text/html; charset=utf-8"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
)
KEPT = 1024  # pages; about 20 KB each
KEPT_BYTES = 32 * 1024 * 1024
SMALL = 256  # bytes that are not worth compressing
COOKIE = "lang"
LONGEST_HEADER = 256
YEAR = 365 * 24 * 3600
DRAWN = ("image/png", "font/")  # compressed already


class CachedPage:
    """The bytes of an answer and their headers, in every encoding that was asked for."""

    def __init__(self, body: bytes, content_type: str, headers: Mapping[str, str]) -> None:
        self.etag = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
        self._headers = {
            "Content-Type": content_type,
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
            **headers,
            "ETag": self.etag,
        }
        self._may_be_compressed = len(body) > SMALL and not content_type.startswith(DRAWN)
        self._encoded = {"": (PrebuiltHead(200, self._headers), body)}
        unchanged = {name: value for name, value in self._headers.items() if name != "Content-Type"}
        self._not_modified = PrebuiltHead(304, unchanged)
        self._compressing = asyncio.Lock()

    @property
    def size(self) -> int:
        return sum(len(body) for _, body in self._encoded.values())

    def not_modified(self) -> PrebuiltResponse:
        return PrebuiltResponse(self._not_modified, b"")

    async def answer(self, encoding: str, pace: RenderThrottle) -> PrebuiltResponse:
        """The answer in one of ENCODINGS, compressed by the first who asks."""
        if encoding not in self._encoded:
            async with self._compressing:
                if encoding not in self._encoded:
                    async with pace.turn():
                        body = await asyncio.to_thread(ENCODINGS[encoding], self._encoded[""][1])
                    head = PrebuiltHead(200, {**self._headers, "Content-Encoding": encoding})
                    self._encoded[encoding] = head, body
        return PrebuiltResponse(*self._encoded[encoding])

    def encoding_for(self, accepted: str) -> str:
        # Cut: what splits it may take long over a header of kilobytes.
        return _encoding(accepted[:LONGEST_HEADER]) if self._may_be_compressed else ""


ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "br": lambda body: brotli.compress(body, quality=5),
    "gzip": lambda body: gzip.compress(body, 6, mtime=0),
}


@lru_cache(1024)
def _encoding(accepted: str) -> str:
    """The encoding to answer in, by Accept-Encoding."""
    refused = re.compile(r"\s*;\s*q=0(\.0*)?\s*$")
    names = {
        part.partition(";")[0].strip().lower() for part in accepted.split(",") if not refused.search(part)
    }
    return next((encoding for encoding in ("br", "gzip") if encoding in names), "")


Content = str | bytes
Render = Callable[[Snapshot, Locale], Awaitable[Content]]
Dress = tuple[str, Mapping[str, str]]


class PageCache:
    """The finished pages of the current snapshot, the latest used last."""

    def __init__(self) -> None:
        self._pages: OrderedDict[tuple[str, str], tuple[int, CachedPage]] = OrderedDict()
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}

    async def finished(
        self,
        app: web.Application,
        path: str,
        locale: Locale,
        make: Render,
        dress: Callable[[], Dress],
        is_gone: Callable[[], bool],
    ) -> CachedPage:
        """The page as of the current snapshot; raises what `make` raises. `dress`: its type and headers.

        For a visitor who is gone when it is his turn nothing is made; raises TooSlow.
        """
        key = (path, locale.tag)
        snapshot = await app[SNAPSHOTS].current(app)
        if (found := self._found(key, snapshot)) is not None:
            return found
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with turn:
                if (found := self._found(key, snapshot)) is not None:
                    return found
                async with app[RENDER_THROTTLE].turn():
                    if is_gone():
                        raise TooSlow("the visitor has gone")
                    content = await make(snapshot, locale)
                app[keys.METRICS].page_made()
                body = content.encode() if isinstance(content, str) else content
                return self._keep(key, snapshot, CachedPage(body, *dress()))
        finally:
            if not turn.locked():
                self._turns.pop(key, None)

    def _found(self, key: tuple[str, str], snapshot: Snapshot) -> CachedPage | None:
        made_of, page = self._pages.get(key, (0, None))
        if made_of < snapshot.serial:  # one that is newer than what was asked for is as good
            return None
        self._pages.move_to_end(key)
        return page

    def _keep(self, key: tuple[str, str], snapshot: Snapshot, page: CachedPage) -> CachedPage:
        _, before = self._pages.pop(key, (None, None))
        if before is not None and before.etag == page.etag:
            page = before  # it is the same, and compressed already
        self._pages[key] = (snapshot.serial, page)
        while len(self._pages) > KEPT or (len(self._pages) > 1 and self._size() > KEPT_BYTES):
            self._pages.popitem(last=False)
        return page

    def _size(self) -> int:
        return sum(page.size for _, page in self._pages.values())


PAGE_CACHE = web.AppKey("pages", PageCache)
# What addresses with options ask for, of which anyone can make up any number: they drive no page out.
VARIANTS = web.AppKey("variants", PageCache)
FAIR_QUEUE = web.AppKey("turnstile", FairQueue)
RENDER_THROTTLE = web.AppKey("pace", RenderThrottle)


def locale_of(request: web.Request) -> Locale:
    """The language the visitor chose, else the best that the browser accepts."""
    site = request.app[keys.RUNNING].config.site
    accepted = request.headers.get("Accept-Language", "")
    wanted = request.cookies.get(COOKIE) if "Cookie" in request.headers else None
    return locales.locale(locales.chosen(wanted, accepted[:LONGEST_HEADER], site.locales, site.locale))


async def page(
    request: web.Request,
    make: Render,
    path: str | None = None,
    content_type: str = HTML,
    *,
    locale: Locale | None = None,
    frame_ancestors: str = "'none'",
    headers: Mapping[str, str] | None = None,
    kept: web.AppKey[PageCache] = PAGE_CACHE,
) -> web.StreamResponse:
    """Answer with the page that `make` gives for the current snapshot in the visitor's language.

    `path` tells pages apart, with every option that makes a difference; None: the request's path. A `locale`
    given is that of a page that has no words. Pages with options in their address are `kept` in VARIANTS.
    """
    await request.app[FAIR_QUEUE].passed()
    if content_type == HTML and "lang" in request.rel_url.raw_query_string and "lang" in request.query:
        return _language_chosen(request)
    language = locale_of(request) if locale is None else locale

    def dress() -> Dress:
        worn = {"Content-Security-Policy": POLICY.format(ancestors=frame_ancestors), **(headers or {})}
        if locale is None:
            worn |= {"Vary": "Accept-Encoding, Accept-Language, Cookie", "Content-Language": language.tag}
        return content_type, worn

    finished = await request.app[kept].finished(
        request.app,
        request.path if path is None else path,
        language,
        make,
        dress,
        lambda: request.transport is None,
    )
    whole = await answer(request, finished)
    request.app[keys.METRICS].page_served(whole.status)
    return whole


async def answer(request: web.Request, finished: CachedPage) -> PrebuiltResponse:
    """The page in the best encoding the client accepts, or 304 when it has it already."""
    if _is_known(request.headers.get("If-None-Match", ""), finished.etag):
        return finished.not_modified()
    encoding = finished.encoding_for(request.headers.get("Accept-Encoding", ""))
    return await finished.answer(encoding, request.app[RENDER_THROTTLE])


def _is_known(if_none_match: str, etag: str) -> bool:
    """Weak comparison (RFC 9110, 13.1.2)."""
    if not if_none_match:
        return False
    mine = etag.removeprefix("W/")
    return any(one.strip().removeprefix("W/") in (mine, "*") for one in if_none_match.split(","))


def _language_chosen(request: web.Request) -> web.Response:
    """Keep the language in a cookie and show the same page again without it in the address."""
    query = {name: value for name, value in request.query.items() if name != "lang"}
    config = request.app[keys.RUNNING].config
    address = f"{config.server.base_path}{request.rel_url.with_query(query)}"
    response = web.Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})
    chosen = request.query["lang"]
    if chosen in config.site.locales:
        path = config.server.base_path or "/"
        response.set_cookie(COOKIE, chosen, max_age=YEAR, httponly=True, samesite="Lax", path=path)
    return response
