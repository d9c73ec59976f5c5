"""/manage/more: the list of all screens, for narrow ones."""

from kener_async.domain.people import Act
from kener_async.web.manage.frame import ManagePage, manage_page


@manage_page(Act.SEE)
async def more(page: ManagePage) -> str:
    """The list of all screens."""
    return await page.render("manage/more.html")
