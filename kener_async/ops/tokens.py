"""Create, list and revoke tokens in the database, while a server may be running on it."""

import time
from collections.abc import Sequence
from functools import partial

from kener_async.api.http.auth import mint
from kener_async.api.http.new_tokens import TokenOrder, made
from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.domain.errors import NotFound
from kener_async.ops.actor import command_actor
from kener_async.ops.signing_key import signing_secret
from kener_async.store import token_acts, tokens
from kener_async.store.sqlite import condition, transactions
from kener_async.store.tokens import Token


def create(
    config: Config,
    name: str,
    scopes: Sequence[str],
    tags: Sequence[str],
    lifetime: int | None,
    replaces: str | None = None,
) -> str:
    """Store the record of a new token; the JWT. No scopes: the default ones; no tags: all monitors.

    `lifetime` is in seconds, None: it does not expire. `replaces` is the id of a token whose devices it
    continues, with their numbers and clocks. The database and the key are made where there are none. Raises
    FatalError or DomainError.
    """
    sender = None if replaces is None else _sender_of(config, replaces)
    order = TokenOrder(name, tuple(scopes), tuple(tags), lifetime, sender)
    record, jwt = made(order, partial(mint, signing_secret(config.auth)), system_clock())
    _add(config, record)
    return jwt


def _sender_of(config: Config, token_id: str) -> str:
    """The sender of a token's devices; raises NotFound."""
    for record in stored(config):
        if record.id == token_id and record.digest is None:
            return record.sender or record.id
    raise NotFound(f"--replaces: no token has the id {token_id}")


def create_beat_key(config: Config, name: str, tag: str, lifetime: int | None) -> str:
    """Store the record of a new key that reports one monitor; the key."""
    order = TokenOrder(name, (), (tag,), lifetime, is_push_key=True)
    record, key = made(order, _unsigned, system_clock())
    _add(config, record)
    return key


def _unsigned(record: Token) -> str:
    raise AssertionError(f"{record.id} is a push key, which nobody signs")


def _add(config: Config, record: Token) -> None:
    transactions.write(config.database.path, token_acts.create, record, command_actor())


def stored(config: Config) -> list[Token]:
    """The records of all tokens; raises FatalError where there is no database."""
    return list(transactions.read(config.database.path, tokens.all_tokens).values())


def revoke(config: Config, wanted: str) -> Token:
    """Revoke the token of an id, or of a name that only one valid token has; its record.

    On return a running server rejects it. Raises NotFound, and Invalid where several have the name.
    """
    record = transactions.write(
        config.database.path, token_acts.revoke_known, wanted, command_actor(), system_clock()
    )
    _wait_for_the_server(config)
    return record


def revoke_foreign(config: Config, token_id: str) -> None:
    """Revoke a token made elsewhere, which has no record here, by its id (`jti`)."""
    transactions.write(
        config.database.path, token_acts.revoke_foreign, token_id, command_actor(), system_clock()
    )
    _wait_for_the_server(config)


def _wait_for_the_server(config: Config) -> None:
    if condition.server_of(config.database.path) is not None:
        time.sleep(tokens.REVOKED_WITHIN)
