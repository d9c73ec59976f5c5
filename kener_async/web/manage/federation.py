"""The settings of sign-in through others, and the keys of the parts that do it."""

from aiohttp import web

from kener_async.config.model import Config
from kener_async.domain.people import Role
from kener_async.identity.federation import Federation
from kener_async.identity.oidc import OidcSettings
from kener_async.identity.proxy import ProxySettings
from kener_async.identity.steps import SignedSteps, StepLimiter

FEDERATION = web.AppKey("federation", Federation)
SIGNED_STEPS = web.AppKey("signed steps", SignedSteps)
STEP_LIMITER = web.AppKey("step limiter", StepLimiter)
CALLBACK = "/sign-in/oidc/callback"


def oidc_settings(config: Config) -> OidcSettings | None:
    """The settings of sign-in with OpenID Connect; None: people do not sign in that way."""
    server, oidc = config.server, config.manage.oidc
    if oidc is None or not server.manage_path:
        return None
    return OidcSettings(
        issuer=oidc.issuer,
        client=oidc.client,
        secret=oidc.secret,
        scopes=oidc.scopes,
        groups_claim=oidc.groups_claim,
        roles=_roles(oidc.roles),
        link_by_email=oidc.link_by_email,
        redirect_uri=f"{server.public_url}{server.base_path}{server.manage_path}{CALLBACK}",
    )


def proxy_settings(config: Config) -> ProxySettings | None:
    """The settings of sign-in by a header; None: no header names a person."""
    proxy = config.manage.proxy
    if proxy is None:
        return None
    return ProxySettings(proxy.header, proxy.groups_header, _roles(proxy.roles), proxy.create)


def _roles(roles: tuple[tuple[str, str], ...]) -> tuple[tuple[str, Role], ...]:
    """The roles of groups, whose names the configuration has checked."""
    return tuple((group, Role[name.upper()]) for group, name in roles)
