"""The texts that a monitor's page offers to copy: address, embeds and badges."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kener_async.config.model import MonitorConfig
from kener_async.web.pages.templates import TemplateContext


@dataclass(frozen=True, slots=True)
class Snippet:
    """A text to copy; `picture` is the address of an image of the result, or empty."""

    id: str
    label: str
    text: str
    picture: str = ""


@dataclass(frozen=True, slots=True)
class ShareSnippets:
    page: Snippet
    embeds: Sequence[Snippet]
    badges: Sequence[Snippet]


FRAME = Markup(
    '<iframe src="{}" title="{}" width="100%" height="150" loading="lazy" frameborder="0"></iframe>'
)
SCRIPT = Markup('<script async src="{}"></script>')


def snippets(context: TemplateContext, monitor: MonitorConfig) -> ShareSnippets:
    _ = context.locale.gettext
    embed, badge = f"/embed/{monitor.tag}", f"/badge/{monitor.tag}"
    light, dark = context.absolute(f"{embed}?theme=light"), context.absolute(f"{embed}?theme=dark")
    script_light, script_dark = (context.absolute(f"{embed}.js?theme={theme}") for theme in ("light", "dark"))
    badges = [
        ("status", _("Status"), f"{badge}/status"),
        ("uptime", _("Uptime"), f"{badge}/uptime"),
        ("dot", _("Dot"), f"{badge}/dot"),
        ("ping", _("Dot, pulsing"), f"{badge}/dot?animate=ping"),
    ]
    return ShareSnippets(
        Snippet("share-link", _("Address of this page"), context.absolute(f"/monitor/{monitor.tag}")),
        [
            Snippet("share-frame-light", _("Frame, light"), str(FRAME.format(light, monitor.name))),
            Snippet("share-frame-dark", _("Frame, dark"), str(FRAME.format(dark, monitor.name))),
            Snippet("share-script-light", _("Script, light"), str(SCRIPT.format(script_light))),
            Snippet("share-script-dark", _("Script, dark"), str(SCRIPT.format(script_dark))),
        ],
        [
            Snippet(f"share-{name}", label, context.absolute(path), context.link(path))
            for name, label, path in badges
        ],
    )
