"""The page cache: each page is rendered once for a snapshot and a language, and compressed once."""

import asyncio
import gzip
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import brotli
from aiohttp import web

from kener_async.api.http.responses import PrebuiltHead, PrebuiltResponse
from kener_async.web.pages.throttle import RenderThrottle

MAX_PAGES = 1024
MAX_PLAIN = 4 * 1024 * 1024  # bytes of pages of the site, which are a few thousand bytes each when compressed
MAX_VARIANTS = 2 * 1024 * 1024  # bytes of variants, which clients can invent
MIN_COMPRESSED = 256  # bytes; below, compression gains nothing
MAX_HEADER = 256  # characters that are parsed of a request header
COMPRESSED_TYPES = ("image/png", "font/")
NOT_MODIFIED = "304"

CacheEntry = tuple[int, "CachedPage"]  # serial of the snapshot that the page shows
PageKey = tuple[str, str]  # path and language


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """The bytes of a page and its validator; to be made in a thread, unless the page is small."""

    body: bytes
    etag: str

    @classmethod
    def of(cls, content: str | bytes) -> "RenderedPage":
        body = content.encode() if isinstance(content, str) else content
        return cls(body, f'W/"{blake2b(body, digest_size=12).hexdigest()}"')


class CachedPage:
    """A page's bytes and headers, in every content encoding that was requested so far.

    It is not kept as it was rendered unless a client has requested it like that: compressed it is a tenth of
    the size.
    """

    __slots__ = (
        *("_bodies", "_content_type", "_encoding", "_heads", "_headers", "_is_compressible"),
        *("_is_plain_kept", "_throttle", "counted", "etag"),
    )

    def __init__(
        self, page: RenderedPage, content_type: str, headers: Mapping[str, str], throttle: RenderThrottle
    ) -> None:
        self.etag = page.etag
        self.counted = 0  # bytes, by the cache that holds it
        self._content_type = content_type
        self._headers = headers
        self._is_compressible = len(page.body) > MIN_COMPRESSED and not content_type.startswith(
            COMPRESSED_TYPES
        )
        self._is_plain_kept = not self._is_compressible
        self._bodies = {"": page.body}  # by content encoding
        self._heads: dict[str, PrebuiltHead] = {}  # also by content encoding, of what was sent
        self._throttle = throttle
        self._encoding = asyncio.Lock()

    @property
    def size(self) -> int:
        """Bytes of all encodings."""
        return sum(map(len, self._bodies.values()))

    async def response_to(self, request: web.Request) -> PrebuiltResponse:
        """304 if the client has this version already, else the page in the best encoding it accepts."""
        if _matches(request.headers.get("If-None-Match", ""), self.etag):
            return PrebuiltResponse(self._head(NOT_MODIFIED), b"")
        encoding = self.encoding_for(request.headers.get("Accept-Encoding", ""))
        if not encoding:
            self._is_plain_kept = True
        if encoding not in self._bodies:
            await self._encode(encoding)
        return PrebuiltResponse(self._head(encoding), self._bodies[encoding])

    def encoding_for(self, accepted: str) -> str:
        """The best content encoding for a value of Accept-Encoding; "" is none."""
        # Only the beginning is parsed: a header of kilobytes would hold up the event loop.
        return best_encoding(accepted[:MAX_HEADER]) if self._is_compressible else ""

    def _head(self, name: str) -> PrebuiltHead:
        """The head of the response in a content encoding, or of NOT_MODIFIED."""
        head = self._heads.get(name)
        if head is None:
            head = self._heads[name] = self._made_head(name)
        return head

    def _made_head(self, name: str) -> PrebuiltHead:
        headers = {
            "Content-Type": self._content_type,
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
            **self._headers,
            "ETag": self.etag,
        }
        if name == NOT_MODIFIED:
            del headers["Content-Type"]
            return PrebuiltHead(304, headers)
        if name:
            headers["Content-Encoding"] = name
        return PrebuiltHead(200, headers)

    async def _encode(self, encoding: str) -> None:
        async with self._encoding:
            if encoding in self._bodies:  # another request did it meanwhile
                return
            known, body = next(iter(self._bodies.items()))
            async with self._throttle.slot():
                self._bodies[encoding] = await asyncio.to_thread(_recode, body, known, encoding)
            if not self._is_plain_kept:
                self._bodies.pop("", None)


def _recode(body: bytes, known: str, wanted: str) -> bytes:
    """A body of one content encoding in another one."""
    plain = DECOMPRESS[known](body)
    return COMPRESS[wanted](plain) if wanted else plain


DECOMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    "br": brotli.decompress,
    "gzip": gzip.decompress,
}
COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "br": lambda body: brotli.compress(body, quality=5),
    "gzip": lambda body: gzip.compress(body, 6, mtime=0),
}


@lru_cache(1024)
def best_encoding(accepted: str) -> str:
    """The best content encoding for a value of Accept-Encoding; "" is none."""
    rejected = re.compile(r"\s*;\s*q=0(\.0*)?\s*$")
    names = {
        part.partition(";")[0].strip().lower() for part in accepted.split(",") if not rejected.search(part)
    }
    return next((encoding for encoding in COMPRESS if encoding in names), "")


def _matches(if_none_match: str, etag: str) -> bool:
    """Compare weakly (RFC 9110, 13.1.2)."""
    if not if_none_match:
        return False
    opaque = etag.removeprefix("W/")
    return any(tag.strip().removeprefix("W/") in (opaque, "*") for tag in if_none_match.split(","))


class PageCache:
    """Pages by key, the most recently used last; limited in number and bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._entries: OrderedDict[PageKey, CacheEntry] = OrderedDict()
        self._locks: dict[PageKey, asyncio.Lock] = {}

    async def get(self, key: PageKey, serial: int, render: Callable[[], Awaitable[CachedPage]]) -> CachedPage:
        """The page as of snapshot `serial` or a later one; raises what `render` raises."""
        if (page := self._find(key, serial)) is not None:
            return page
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:  # one request renders; those that wait find its page, or try if it failed
                return self._find(key, serial) or self._store(key, serial, await render())
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    def note_size(self, key: PageKey, page: CachedPage) -> None:
        """Count what another encoding has added to a page, and evict others if need be."""
        entry = self._entries.get(key)
        if page.size != page.counted and entry is not None and entry[1] is page:
            self._count(page)
            self._evict()

    def _find(self, key: PageKey, serial: int) -> CachedPage | None:
        entry = self._entries.get(key)
        if entry is None or entry[0] < serial:
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def _store(self, key: PageKey, serial: int, page: CachedPage) -> CachedPage:
        _, previous = self._entries.pop(key, (None, None))
        if previous is not None and previous.etag == page.etag:
            page = previous  # the same bytes, compressed already
        elif previous is not None:
            self._size -= previous.counted
        self._entries[key] = (serial, page)
        self._count(page)
        self._evict()
        return page

    def _count(self, page: CachedPage) -> None:
        self._size += page.size - page.counted
        page.counted = page.size

    def _evict(self) -> None:
        while len(self._entries) > MAX_PAGES or (len(self._entries) > 1 and self._size > self._max_bytes):
            _, (_, evicted) = self._entries.popitem(last=False)
            self._size -= evicted.counted
