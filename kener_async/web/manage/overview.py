"""/manage, the overview: what is bad now, what visitors were told, and what is wrong with this service."""

from kener_async.domain.people import Act
from kener_async.web.manage.frame import ManagePage, manage_page


@manage_page(Act.SEE)
async def overview(page: ManagePage) -> str:
    """The overview."""
    return await page.render("manage/overview.html")
