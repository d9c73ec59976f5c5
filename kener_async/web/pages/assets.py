"""The files that pages load: our stylesheet, scripts and icon, and the site's own assets."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from kener_async import keys
from kener_async.config.fields import is_published
from kener_async.config.model import Colors, Config, SiteConfig
from kener_async.domain.calendar import DAY, HOUR
from kener_async.domain.errors import NotFound
from kener_async.web.pages.cache import CachedPage, RenderedPage
from kener_async.web.pages.throttle import RenderThrottle

STATIC = Path(__file__).parent.parent / "static"
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FILES = (
    "page.css",
    "page.js",
    "live.js",
    "embed.js",
    "embedded.js",
    "day.js",
    "manage.css",
    "manage.js",
    "passkeys.js",
    "icon.svg",
    "api-docs.css",
    "api-docs.js",
)
CACHE_FOREVER = f"public, max-age={365 * DAY}, immutable"
CACHE_A_DAY = f"public, max-age={DAY}"
CACHE_AN_HOUR = f"public, max-age={HOUR}"
# An SVG image may contain scripts; this policy forbids them.
IMAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


class Assets:
    """Our static files as the current configuration needs them, each with a version made from its content."""

    def __init__(self, throttle: RenderThrottle) -> None:
        self._throttle = throttle
        self._config: Config | None = None
        self._files: Mapping[str, CachedPage] = {}
        self._versions: Mapping[str, str] = {}

    def for_config(self, config: Config) -> "Assets":
        """Read the files again if the configuration is another one."""
        if config is not self._config:
            texts = {name: (STATIC / name).read_text(encoding="utf-8") for name in FILES}
            added = styles(config.site, config.server.base_path)
            # In one file, because each request counts on a slow line.
            texts["manage.css"] = texts["page.css"] + texts["manage.css"] + added
            texts["page.css"] += added + custom_styles(config.site)
            self._versions = {name: sha256(text.encode()).hexdigest()[:12] for name, text in texts.items()}
            self._files = {
                name: CachedPage(
                    RenderedPage.of(text),
                    CONTENT_TYPES[Path(name).suffix],
                    {"Cache-Control": CACHE_FOREVER},
                    self._throttle,
                )
                for name, text in texts.items()
            }
            self._config = config
        return self

    def address(self, name: str) -> str:
        """The path of a file with its version, which browsers may cache for ever."""
        return f"/static/{name}?v={self._versions[name]}"

    def get(self, name: str) -> CachedPage:
        """The current version of a file; raises NotFound."""
        file = self._files.get(name)
        if file is None:
            raise NotFound("not found")
        return file


ASSETS = web.AppKey("assets", Assets)


def styles(site: SiteConfig, base_path: str) -> str:
    """The CSS that the configuration adds to every stylesheet: colours and font."""
    return "".join(_styles(site, base_path))


def custom_styles(site: SiteConfig) -> str:
    """The site's own rules, which are for what visitors see."""
    return "" if site.custom_css is None else "\n" + site.custom_css.read_text(encoding="utf-8")


def _styles(site: SiteConfig, base_path: str) -> Iterator[str]:
    light, dark = _colors(site.colors), _colors(site.dark_colors)
    if light:
        yield f"\n:root {{ {light} }}"
    if dark:
        yield f'\n@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {dark} }} }}'
        yield f'\n:root[data-theme="dark"] {{ {dark} }}'
    if site.font_file:
        address = file_address(site.font_file, base_path)
        yield f'\n@font-face {{ font-family: "SiteConfig"; src: url("{address}"); font-display: swap; }}'
    family = ", ".join(part for part in ('"Site"' if site.font_file else "", site.font_family) if part)
    if family:
        yield f"\n:root {{ --font: {family}, system-ui, sans-serif; }}"


def _colors(colors: Colors) -> str:
    names = ("up", "degraded", "down", "maintenance", "no_data", "accent")
    set_ones = [(name, getattr(colors, name)) for name in names if getattr(colors, name)]
    return " ".join(f"--{name.replace('_', '-')}: {color};" for name, color in set_ones)


def file_address(text: str, base_path: str) -> str:
    """The address of an image or link of the configuration; a relative one is within the assets."""
    if not text or text.startswith(("http://", "https://", "mailto:")):
        return text
    return base_path + (text if text.startswith("/") else f"/assets/{text}")


async def static(request: web.Request) -> web.StreamResponse:
    """One of our static files. Only at an address with the current version may browsers cache it for ever."""
    assets = request.app[ASSETS].for_config(request.app[keys.RUNNING].config)
    name = request.match_info["name"]
    file = assets.get(name)
    response = await file.response_to(request)
    if str(request.rel_url) != assets.address(name):
        response.headers["Cache-Control"] = "no-cache"
    return response


async def assets(request: web.Request) -> web.StreamResponse:
    """A file of the folder that `[site] assets` names, if it is of a kind that pages use."""
    folder, name = request.app[keys.RUNNING].config.site.assets, request.match_info["path"]
    path = None if folder is None else _published_file(folder, name)
    if path is None:
        raise NotFound("not found")
    headers = {"Cache-Control": CACHE_AN_HOUR, "Content-Security-Policy": IMAGE_POLICY}
    return web.FileResponse(path, headers=headers)


def _published_file(folder: Path, name: str) -> Path | None:
    """The path of a file in the folder; None for what is not there or not served.

    A link within the folder is followed, and what it leads to must be in the folder and served, too.
    """
    try:
        root = folder.resolve()
        path = (root / name).resolve()
        if not (path.is_relative_to(root) and path.is_file()):
            return None
    except OSError:  # the name is too long for the file system
        return None
    return path if is_published(name) and is_published(path.relative_to(root).as_posix()) else None


async def favicon(request: web.Request) -> web.StreamResponse:
    """The icon for browsers that request it without having read a page."""
    config = request.app[keys.RUNNING].config
    configured = file_address(config.site.favicon, config.server.base_path)
    if configured and configured != f"{config.server.base_path}/favicon.ico":
        raise web.HTTPFound(configured)
    icon = request.app[ASSETS].for_config(config).get("icon.svg")
    response = await icon.response_to(request)
    response.headers["Cache-Control"] = CACHE_A_DAY
    return response
