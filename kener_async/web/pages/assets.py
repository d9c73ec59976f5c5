"""What pages load beside themselves: our stylesheet, scripts and icon, and the site's own files."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from kener_async import keys
from kener_async.config.model import Colors, Config, SiteConfig
from kener_async.domain.errors import NotFound
from kener_async.web.pages.cache import YEAR, CachedPage, answer

STATIC = Path(__file__).parent.parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
OURS = (
    "page.css",
    "page.js",
    "live.js",
    "embed.js",
    "embedded.js",
    "day.js",
    "icon.svg",
    "api-docs.css",
    "api-docs.js",
)
FOREVER = f"public, max-age={YEAR}, immutable"
FOR_A_DAY = "public, max-age=86400"
# A picture may carry a script; here it is only ever a picture.
AS_PICTURE = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


class Assets:
    """Our files as the configuration in force wants them, each with a version that is its content's."""

    def __init__(self) -> None:
        self._config: Config | None = None
        self._files: Mapping[str, CachedPage] = {}
        self._versions: Mapping[str, str] = {}

    def of(self, config: Config) -> "Assets":
        """Brought up to date with the configuration."""
        if config is not self._config:
            texts = {name: (STATIC / name).read_text(encoding="utf-8") for name in OURS}
            texts["page.css"] += styles(config.site, config.server.base_path)
            self._versions = {name: sha256(text.encode()).hexdigest()[:12] for name, text in texts.items()}
            self._files = {
                name: CachedPage(text.encode(), TYPES[Path(name).suffix], {"Cache-Control": FOREVER})
                for name, text in texts.items()
            }
            self._config = config
        return self

    def address(self, name: str) -> str:
        """The path of a file, with its version; it may be kept for ever."""
        return f"/static/{name}?v={self._versions[name]}"

    def find(self, name: str) -> CachedPage | None:
        return self._files.get(name)


ASSETS = web.AppKey("assets", Assets)


def styles(site: SiteConfig, base_path: str) -> str:
    """What the configuration adds to the stylesheet: colours, font, and the site's own rules."""
    return "".join(_styles(site, base_path))


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
    if site.custom_css is not None:
        yield "\n" + site.custom_css.read_text(encoding="utf-8")


def _colors(colors: Colors) -> str:
    names = ("up", "degraded", "down", "maintenance", "no_data", "accent")
    set_ones = [(name, getattr(colors, name)) for name in names if getattr(colors, name)]
    return " ".join(f"--{name.replace('_', '-')}: {color};" for name, color in set_ones)


def file_address(text: str, base_path: str) -> str:
    """The address of an image or a link as the configuration names it: as it is, or within the assets."""
    if not text or text.startswith(("http://", "https://", "mailto:")):
        return text
    return base_path + (text if text.startswith("/") else f"/assets/{text}")


async def static(request: web.Request) -> web.StreamResponse:
    """One of our own files. An address whose version is not the current one is answered, but not for ever."""
    assets = request.app[ASSETS].of(request.app[keys.RUNNING].config)
    name = request.match_info["name"]
    found = assets.find(name)
    if found is None:
        raise NotFound("not found")
    response = await answer(request, found)
    if str(request.rel_url) != assets.address(name):
        response.headers["Cache-Control"] = "no-cache"
    return response


async def assets(request: web.Request) -> web.StreamResponse:
    """A file of the folder that the configuration names."""
    folder = request.app[keys.RUNNING].config.site.assets
    if folder is None:
        raise NotFound("not found")
    root = folder.resolve()
    try:
        path = (root / request.match_info["path"]).resolve()
        is_there = root in path.parents and path.is_file()
    except OSError:  # a name longer than any file's
        raise NotFound("not found") from None
    if not is_there:
        raise NotFound("not found")
    return web.FileResponse(
        path, headers={"Cache-Control": "public, max-age=3600", "Content-Security-Policy": AS_PICTURE}
    )


async def favicon(request: web.Request) -> web.StreamResponse:
    """For browsers that ask before they have read the page."""
    config = request.app[keys.RUNNING].config
    wanted = file_address(config.site.favicon, config.server.base_path)
    if wanted and wanted != f"{config.server.base_path}/favicon.ico":
        raise web.HTTPFound(wanted)
    icon = request.app[ASSETS].of(config).find("icon.svg")
    assert icon is not None  # noqa: S101 - it is one of OURS
    response = await answer(request, icon)
    response.headers["Cache-Control"] = FOR_A_DAY
    return response
