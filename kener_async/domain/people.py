"""People who sign in, their roles, and what each role and each scope of a token may do."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum, unique
from unicodedata import normalize

from kener_async.domain.access import Grant
from kener_async.domain.errors import Forbidden, Invalid

LONGEST_NAME, LONGEST_EMAIL = 64, 254  # characters
FRESH_SECONDS = 600  # how long ago a person may have proved who they are, for acts that want it fresh


class Role(IntEnum):
    """The role of a person: each may do what those before it may. The numbers are stored."""

    VIEWER = 0
    RESPONDER = 1
    EDITOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Permission:
    """What an act takes: at least a role of a person, or a scope of a token (None: no token may).

    `is_fresh`: the person must have proved who they are within FRESH_SECONDS. `is_unlimited`: it reaches
    beyond any category, so a person who is limited to some may not do it.
    """

    role: Role
    scope: str | None
    is_fresh: bool = False
    is_unlimited: bool = False


@unique
class Act(Enum):
    """A kind of act; every route of the management API and of its pages belongs to one."""

    SEE = Permission(Role.VIEWER, "manage:read")
    ACCOUNT = Permission(Role.VIEWER, None)  # one's own sessions, factors, language
    CHANGE_FACTORS = Permission(Role.VIEWER, None, is_fresh=True)  # one's own passkeys and codes
    ANSWER_ALERT = Permission(Role.RESPONDER, "alert:write")
    WRITE_INCIDENT = Permission(Role.RESPONDER, "incident:write")
    DELETE_INCIDENT = Permission(Role.EDITOR, "incident:delete")
    WRITE_TEXTS = Permission(Role.EDITOR, "incident:delete", is_unlimited=True)  # templates, announcements
    RUN_CHECK = Permission(Role.EDITOR, "monitor:write")
    USE_CHANNEL = Permission(Role.EDITOR, "channel:write")
    READ_AUDIT = Permission(Role.EDITOR, "report:read", is_unlimited=True)
    SEE_SETTINGS = Permission(Role.ADMIN, "admin", is_unlimited=True)
    MANAGE_TOKENS = Permission(Role.ADMIN, "admin", is_fresh=True, is_unlimited=True)  # and devices
    MANAGE_PEOPLE = Permission(Role.ADMIN, None, is_fresh=True, is_unlimited=True)

    @property
    def permission(self) -> Permission:
        return self.value


_SCOPES_FROM = {
    Role.VIEWER: ("manage:read", "status:read", "incident:read"),
    Role.RESPONDER: ("alert:write", "incident:write"),
    Role.EDITOR: ("incident:delete", "monitor:write", "channel:write", "report:read"),
    Role.ADMIN: ("admin",),
}


@dataclass(frozen=True, slots=True)
class Person:
    """A person who may sign in. Instants are UTC seconds.

    `categories` limit them to the monitors of these; None: all. `password` is a hash of Argon2id, `code_key`
    the secret of time-based codes (RFC 6238), of which `code_step` is the newest step used. An empty `locale`
    is that of the browser, an empty `zone` that of the site.
    """

    id: int
    name: str
    role: Role
    made_at: int
    email: str = ""
    categories: tuple[str, ...] | None = None
    password: str | None = None
    code_key: bytes | None = None
    code_step: int = 0
    locale: str = ""
    zone: str = ""
    last_seen: int | None = None
    inactive_since: int | None = None

    @property
    def is_active(self) -> bool:
        """Whether they may sign in."""
        return self.inactive_since is None


def require_name(text: str) -> str:
    """The name of a person in one Unicode form; raises Invalid unless it may be one."""
    name = normalize("NFC", text)
    if not name or len(name) > LONGEST_NAME:
        raise Invalid(f"name: must have 1 to {LONGEST_NAME} characters")
    if name != name.strip() or not name.isprintable():
        raise Invalid("name: must not begin or end with a space, nor contain a control character")
    return name


def require_email(text: str) -> str:
    """The address of a person, empty for none; raises Invalid unless it may be one."""
    local, _, host = text.rpartition("@")
    is_good = local and host and len(text) <= LONGEST_EMAIL and text.isprintable() and " " not in text
    if text and not is_good:
        raise Invalid("email: must be an address such as ada@example.org")
    return text


def scopes_of(role: Role) -> frozenset[str]:
    """The scopes that a role has as a token would."""
    return frozenset(scope for step, scopes in _SCOPES_FROM.items() if step <= role for scope in scopes)


def grant_of(person: Person, tags: Collection[str] | None) -> Grant:
    """What a person may do, as that of a token; `tags` are the monitors of their categories, None for all."""
    limited = None if tags is None else tuple(sorted(tags))
    return Grant(f"person:{person.id}", person.name, scopes_of(person.role), limited, None)


def require(act: Act, person: Person, fresh_at: int, now: int) -> None:
    """Raise Forbidden unless a person may do this now, who last proved who they are at `fresh_at`."""
    permission = act.permission
    if person.role < permission.role:
        raise Forbidden(f"needs the role {permission.role.name.lower()}")
    if permission.is_unlimited and person.categories is not None:
        raise Forbidden("needs a person who is not limited to categories")
    if permission.is_fresh and not is_fresh(fresh_at, now):
        raise NotFresh("sign in again to go on")


def is_fresh(fresh_at: int, now: int) -> bool:
    """Whether a person who last proved who they are at `fresh_at` need not do so again."""
    return fresh_at <= now < fresh_at + FRESH_SECONDS


class NotFresh(Forbidden):
    """The act wants the person to sign in again."""


class ActorKind(StrEnum):
    """Who acts."""

    PERSON = "person"
    TOKEN = "token"  # noqa: S105  a kind, no secret
    COMMAND = "command"
    LINK = "link"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, for the audit log.

    `network` is the address that the request came from, or the name of the machine of a command.
    """

    kind: ActorKind
    name: str
    network: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def highest_role(groups: Collection[str], roles: Iterable[tuple[str, Role]]) -> Role | None:
    """The highest role that the groups of a person give; None: none of them gives one."""
    return max((role for group, role in roles if group in groups), default=None)
