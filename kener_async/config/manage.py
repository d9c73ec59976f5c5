"""`[manage]`: the signed-in side, its sign-in with OpenID Connect and by the header of a proxy."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from marshmallow import ValidationError, validate

from kener_async.config.alert_fields import Line, NonEmptyLine
from kener_async.config.fields import (
    Boolean,
    Choice,
    Duration,
    Integer,
    List,
    Network,
    PingUrl,
    StringMap,
    describe,
    suggestion,
)
from kener_async.config.schema import key, optional, table
from kener_async.domain.calendar import DAY, HOUR, MINUTE

NOT_EMPTY = validate.Length(1, error="must not be empty")
MANAGE_PATH = "/manage"  # unless [server] sets another; no other route begins so
ROLES = ("viewer", "responder", "editor", "admin")


class GroupRoles(StringMap):
    """A table of groups, whose names are free, and the role that each gives."""

    def _problems(self, name: str, text: object) -> Iterator[str]:
        if not name.strip() or not name.isprintable():
            yield "is not the name of a group"
        if text not in ROLES:
            near = suggestion(text, ROLES) if isinstance(text, str) else ""
            yield f"must be one of {', '.join(ROLES)}, not {describe(text)}{near}"


class HeaderName(Line):
    """The name of a header that a proxy sets; empty where that is allowed."""

    # These say something else, or are said by clients themselves.
    TAKEN = frozenset({"authorization", "cookie", "forwarded", "host", "origin", "user-agent"})

    def parsed(self, text: str) -> str:
        if text and not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^`|~-]+", text):
            raise ValidationError(
                f"must be the name of a header without underscores, such as Remote-User: {describe(text)}"
            )
        if text.lower() in self.TAKEN or text.lower().startswith(("x-forwarded-", "sec-", "content-")):
            raise ValidationError(f"must be a header of its own, {describe(text)} says something else")
        return text


class NonEmptyHeaderName(HeaderName):
    def parsed(self, text: str) -> str:
        return super().parsed(NonEmptyLine().parsed(text))


@table
class OidcConfig:
    """`[manage.oidc]`: sign in with an OpenID Connect provider."""

    issuer: str = key(PingUrl(validate=NOT_EMPTY), doc="The issuer, as its tokens name it.")
    client: str = key(NonEmptyLine(), doc="The id of this client there.")
    secret: str = key(Line(), "", secret=True, doc="Its secret; empty: it has none.")
    scopes: tuple[str, ...] = key(
        List(NonEmptyLine()), ("openid", "email", "profile"), doc="What is asked for; openid must be in it."
    )
    groups_claim: str = key(NonEmptyLine(), "groups", doc="The claim that names the groups of a person.")
    roles: tuple[tuple[str, str], ...] = key(
        GroupRoles(),
        (),
        doc='The role that a group gives, such as { "ops" = "editor" }; the highest holds, and without one '
        "nobody gets in.",
    )
    button: str = key(NonEmptyLine(), "Sign in with OpenID Connect", doc="What the button says.")
    link_by_email: bool = key(
        Boolean(),
        False,
        doc="Whether a verified address of the provider may join a person who is known here by it.",
    )


@table
class ProxyConfig:
    """`[manage.proxy]`: sign in by a header of a reverse proxy."""

    header: str = key(
        NonEmptyHeaderName(), doc="The header that names the person; only from trusted_proxies of [server]."
    )
    groups_header: str = key(
        HeaderName(), "", doc="The header that names their groups, with commas; empty: none."
    )
    roles: tuple[tuple[str, str], ...] = key(
        GroupRoles(), (), doc="The role that a group gives, as in [manage.oidc]."
    )
    create: bool = key(
        Boolean(), False, doc="Whether a person who is not known yet is made, with the role of a group."
    )


@table
class ManageConfig:
    """`[manage]`. `oidc` and `proxy` are None where people do not sign in that way."""

    own: Literal["all", "incidents", "none"] = key(
        Choice("all", "incidents", "none"),
        "all",
        doc="What may be made in the browser and by the management API: all, incidents (also maintenance, "
        "templates and announcements) or none.",
    )
    password_login: bool = key(Boolean(), True, doc="Whether people may sign in with a password.")
    passkeys: bool = key(
        Boolean(), True, doc="Whether people may sign in with a passkey; this needs public_url of [server]."
    )
    second_factor: Literal["optional", "required"] = key(
        Choice("optional", "required"),
        "optional",
        doc="Whether a password must be followed by a code or a passkey: optional or required.",
    )
    session_idle: int = key(
        Duration(5 * MINUTE, 366 * DAY), 12 * HOUR, doc="A session ends after so long without a request."
    )
    session_length: int = key(Duration(5 * MINUTE, 366 * DAY), 14 * DAY, doc="A session ends after so long.")
    audit_days: int = key(Integer(1, 36_500), 730, doc="Days for which the audit log is kept.")
    allowed_ips: tuple[IPv4Network | IPv6Network, ...] = key(
        List(Network()), (), doc="Addresses or networks that may reach these pages at all; empty: all."
    )
    oidc: OidcConfig | None = optional(OidcConfig)
    proxy: ProxyConfig | None = optional(ProxyConfig)
