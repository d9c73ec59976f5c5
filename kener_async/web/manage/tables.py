"""The table of a thing in config.toml, as its screen shows it."""

from typing import Any

from kener_async.config.source import ConfigSource, KindInFile
from kener_async.web.manage.frame import ManagePage


def table_of(page: ManagePage, source: ConfigSource, kind: KindInFile, name: str) -> dict[str, Any]:
    """The `line` and the `table` of a thing for a template; None: there is none to be shown.

    A person who may see some monitors only sees no table that names another one.
    """
    line, table = source.line(kind, name), source.table(kind, name)
    if table is not None and page.grant.tags is not None:
        others = (one.tag for one in page.config.monitors if one.tag not in page.tags)
        if any(f'"{tag}"' in table or f"'{tag}'" in table for tag in others):
            table = None
    return {"line": line, "table": table}
