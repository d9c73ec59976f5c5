"""Judge for the doctor whether people can sign in, and reach their OpenID Connect provider."""

import json
import ssl
from collections.abc import Sequence
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from kener_async.config.manage import ManageConfig, OidcConfig
from kener_async.config.manage_rules import why_no_passkeys
from kener_async.config.model import Config
from kener_async.domain.people import Role
from kener_async.ops.diagnosis import Finding, Findings, ok, warn
from kener_async.store.people import PersonRecord

OIDC_SECONDS = 10.0
MOST_BYTES = 1 << 20  # of what a provider says of itself


def of_people(config: Config, records: Sequence[PersonRecord]) -> Findings:
    """Judge the people who are stored; nothing where there is none, or no place to sign in."""
    if not records or not config.server.manage_path:
        return
    no_passkeys = why_no_passkeys(config.server.public_url)
    yield of_ways(config.manage, records, has_passkeys=config.manage.passkeys and not no_passkeys)
    if config.manage.passkeys and no_passkeys:
        remedy = (
            "set public_url of [server] to the https address of the site, or passkeys of [manage] to false"
        )
        yield warn("passkeys", f"browsers can use none: {no_passkeys}", remedy)


def of_ways(manage: ManageConfig, records: Sequence[PersonRecord], *, has_passkeys: bool) -> Finding:
    """Judge whether an admin who is limited to no categories can sign in."""
    active = [record for record in records if record.person.is_active]
    able = [record for record in active if _can_sign_in(manage, record, has_passkeys=has_passkeys)]
    admins = [
        record for record in able if record.person.role is Role.ADMIN and record.person.categories is None
    ]
    if admins:
        return ok(
            "people", f"{len(able)} of {len(records)} can sign in, {len(admins)} as admin of everything"
        )
    text = f"no admin can sign in, of {len(records)} people ({len(active)} active)"
    return warn("people", text, "kener-async person reset NAME prints a link for one")


def of_oidc(oidc: OidcConfig) -> Finding:
    """Ask the provider for its addresses, as a sign-in does first."""
    address = f"{oidc.issuer.rstrip('/')}/.well-known/openid-configuration"
    remedy = "check issuer of [manage.oidc] and the way to it; local sign-in works meanwhile"
    try:
        request = Request(address, headers={"Accept": "application/json"})  # noqa: S310  its scheme is checked
        with urlopen(request, timeout=OIDC_SECONDS) as response:  # noqa: S310
            said = json.loads(response.read(MOST_BYTES))
    except HTTPError as error:
        return warn("OpenID Connect", f"{address}: status {error.code}", remedy)
    except (OSError, ssl.SSLError, HTTPException, ValueError) as error:
        return warn("OpenID Connect", f"{address}: {getattr(error, 'reason', error)}", remedy)
    issuer = said.get("issuer") if isinstance(said, dict) else None
    if issuer != oidc.issuer:
        return warn("OpenID Connect", f"{address}: names another issuer, {str(issuer)[:100]}", remedy)
    return ok("OpenID Connect", f"{oidc.issuer} responds")


def _can_sign_in(manage: ManageConfig, record: PersonRecord, *, has_passkeys: bool) -> bool:
    person, factors = record.person, record.factors
    return bool(
        (manage.password_login and person.password is not None)
        or (has_passkeys and factors.passkeys)
        or (manage.oidc is not None and factors.identities)
        or manage.proxy is not None
        or factors.invited_until is not None
    )
