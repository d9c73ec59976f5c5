"""Rules between the settings of sign-in, and those of the server that they need."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from kener_async.config.problems import ConfigProblem, Values, within
from kener_async.domain.errors import Invalid
from kener_async.domain.passkeys import is_loopback, relying_party_of

VALID = "https://valid.invalid"  # in the place of a public_url that is invalid by itself


def sign_in_problems(values: Values) -> Iterator[ConfigProblem]:
    """What is wrong between them."""
    server, manage = values.get("server", {}), values.get("manage", {})
    oidc, proxy = manage.get("oidc"), manage.get("proxy")
    if oidc is not None:
        yield from within(("manage", "oidc"), _oidc_rules(oidc, server))
    if proxy is not None:
        yield from within(("manage", "proxy"), _proxy_rules(proxy, server))
    yield from _way_rules(manage, server)


def _oidc_rules(oidc: Values, server: Values) -> Iterator[ConfigProblem]:
    if "issuer" in oidc:
        yield from _issuer_rules(oidc["issuer"])
    if "scopes" in oidc and "openid" not in oidc["scopes"]:
        yield ConfigProblem(("scopes",), 'must have "openid"')
    if not oidc.get("roles", True):
        yield ConfigProblem(("roles",), "is missing: without a group that gives a role nobody gets in")
    if server.get("public_url") == "":
        yield ConfigProblem(("issuer",), "needs public_url of [server], to which the provider leads back")


def _issuer_rules(issuer: str) -> Iterator[ConfigProblem]:
    parts = urlsplit(issuer)
    if parts.scheme.lower() != "https" and not is_loopback(parts.hostname or ""):
        yield ConfigProblem(("issuer",), "must be https, and http only on this machine")
    if parts.query or parts.fragment or parts.username is not None:
        yield ConfigProblem(("issuer",), "must be an address without user, query and fragment")


def _proxy_rules(proxy: Values, server: Values) -> Iterator[ConfigProblem]:
    if not server.get("trusted_proxies", True):
        yield ConfigProblem(("header",), "is believed only from trusted_proxies of [server], which is empty")
    groups, roles = proxy.get("groups_header", ""), proxy.get("roles", ())
    if groups and not roles:
        yield ConfigProblem(("roles",), "is missing: without a group that gives a role nobody gets in")
    if roles and not groups:
        yield ConfigProblem(("groups_header",), "is missing, which names the groups of roles")
    if proxy.get("create") and not (groups and roles):
        yield ConfigProblem(("create",), "needs groups_header and roles, for the role of a new person")
    if groups and groups.lower() == proxy.get("header", "").lower():
        yield ConfigProblem(("groups_header",), "is the header of the name, use another")


def _way_rules(manage: Values, server: Values) -> Iterator[ConfigProblem]:
    """Without passwords there must be another way in."""
    if manage.get("password_login", True) or manage.get("oidc") or manage.get("proxy"):
        return
    are_off = not manage.get("passkeys", True)
    reason = "passkeys are off" if are_off else why_no_passkeys(server.get("public_url", VALID))
    if reason:
        text = f"leaves no way to sign in: there is no [manage.oidc], no [manage.proxy], and {reason}"
        yield ConfigProblem(("manage", "password_login"), text)


def why_no_passkeys(public_url: str) -> str:
    """Why browsers could use no passkeys at this address of the site; empty: they can."""
    try:
        relying_party_of(public_url)
    except Invalid as error:
        return error.message
    return ""
