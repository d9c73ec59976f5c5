"""A resource without routes of its own, which resolves a request as if it had another path."""

from collections.abc import Iterator
from typing import Any

from aiohttp import web
from yarl import URL

from kener_async.keys import Running


class Rerouting(web.AbstractResource):
    """Register it after the resources of `router`, so that it costs only requests that match none of them."""

    def __init__(self, router: web.UrlDispatcher, running: Running) -> None:
        super().__init__()
        self.router = router
        self.running = running

    @property
    def canonical(self) -> str:
        return "/"

    def raw_match(self, path: str) -> bool:
        return False

    def url_for(self, **_: str) -> URL:
        return URL("/")

    def add_prefix(self, prefix: str) -> None:
        raise NotImplementedError

    def get_info(self) -> Any:
        return {}

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[web.AbstractRoute]:
        return iter(())
