"""The interface of the store: a session, and a database that runs functions in transactions.

The functions of this package take a `Session` first and plain arguments after it, and are run as
`await database.read(incidents.get, number)`. Nothing outside the package touches a session or names a driver.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Values = Sequence[Any] | Mapping[str, Any]  # for the `?` of a statement, or for its `:name`


class Rows(Protocol):
    """The result of a statement; `rowcount` is the number of rows it changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Session(Protocol):
    """One connection inside one transaction.

    It is synchronous because a whole transaction is one hop to the connection's thread (docs/why.md).
    """

    def execute(self, sql: str, values: Values = ..., /) -> Rows: ...

    def executemany(self, sql: str, rows: Iterable[Values], /) -> object: ...


class StoreError(Exception):
    """A statement failed, and no caller can handle it: a fault of the program, or a damaged file."""


Work = Callable[Concatenate[Session, P], T]


class Database(Protocol):
    """The database of a running service.

    `failed` is set, with the reason, when the service must stop: the disk cannot be trusted any more, or a
    restart repairs the file. `damage` names the first fault an integrity check found, `fault` says what
    happened to the file (deleted, replaced, overwritten) and what to do; reads may still be answered then.
    `refuses` is why nothing can be written now, such as a full disk.
    """

    failed: asyncio.Future[str]
    damage: str | None
    fault: str | None
    refuses: str | None

    async def write(self, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a transaction of its own, one at a time; its changes are durable on return.

        Raises Unavailable when nothing can be written now, and StoreError; then nothing was stored.
        """
        ...

    async def write_now(self, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` as `write` does, but raise Unavailable where that would wait for another process.

        For work that saves a reader time, and that readers can do without.
        """
        ...

    async def read(self, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on one consistent snapshot, which holds everything committed before the call.

        When the read is cancelled its statements are interrupted. Raises StoreError.
        """
        ...

    async def glance(self, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work that takes a fraction of a millisecond, as `read` does, but never behind other reads."""
        ...

    async def check_writer(self) -> None:
        """Return once the writer has run an empty transaction; raises Unavailable when it cannot."""
        ...

    async def check_large_tables(self) -> None:
        """Check the tables that are too large to be checked before the start; sets `damage`."""
        ...
