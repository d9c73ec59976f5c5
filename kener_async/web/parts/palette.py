"""The colours of the statuses in images: badges and the preview image."""

from collections.abc import Mapping

from kener_async.config.model import SiteConfig
from kener_async.domain.samples import Status

# Those of page.css in the light theme; a test compares them.
DEFAULT_COLORS = {
    Status.UP: "#26a17b",
    Status.DEGRADED: "#e8a317",
    Status.DOWN: "#c8321f",
    Status.MAINTENANCE: "#4a7fd6",
    Status.NO_DATA: "#c3cad4",
}


def colors(site: SiteConfig) -> Mapping[Status, str]:
    """The site's colours, else the default ones."""
    return {
        status: getattr(site.colors, status.name.lower()) or color for status, color in DEFAULT_COLORS.items()
    }
