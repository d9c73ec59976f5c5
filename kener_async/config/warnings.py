"""What is valid in a configuration and hardly meant: secrets in the clear, rules without effect."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from kener_async.config.channels import ChannelConfig
from kener_async.config.fields import describe
from kener_async.config.manage_rules import why_no_passkeys
from kener_async.config.model import Config
from kener_async.config.schema import keys_of
from kener_async.domain.alerts import BurnRate
from kener_async.domain.notices import NoticeKind
from kener_async.probes.settings import HttpTarget, Target, WebSocketTarget

LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def warnings_of(config: Config) -> Iterator[str]:
    """Each with the place of its setting; none shows a secret."""
    for channel in config.channels:
        yield from _in_the_clear(channel)
    yield from _checked_in_the_clear(config)
    if config.mail.password and config.mail.security == "none" and not _is_near(config.mail.host):
        yield "mail.security: the password is sent unencrypted"
    yield from _without_effect(config)
    if config.channels and not config.server.public_url:
        yield "server.public_url: is not set, so that messages of alerts hold no links"
    yield from _without_passkeys(config)


def _without_passkeys(config: Config) -> Iterator[str]:
    """Silent where nothing says that people sign in: passkeys are on by default."""
    address, manage = config.server.public_url, config.manage
    is_used = address or manage.oidc or manage.proxy or manage.second_factor == "required"
    if manage.passkeys and is_used and (reason := why_no_passkeys(address)):
        yield f"manage.passkeys: none are offered, because {reason}"


def _in_the_clear(channel: ChannelConfig) -> Iterator[str]:
    for name, each in keys_of(type(channel)).items():
        address = getattr(channel, name)
        if not isinstance(address, str) or not address.lower().startswith("http://"):
            continue
        if not _is_near(_host_of(address)):
            place = f"channels[{describe(channel.name)}].{each.field.data_key or name}"
            yield f"{place}: http sends messages and secrets unencrypted, use https"


def _host_of(address: str) -> str:
    """Empty of a secret that only looks like an address."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _checked_in_the_clear(config: Config) -> Iterator[str]:
    """The checks that send a secret unencrypted to a host that may be far away."""
    checks = [(f"monitors[{describe(each.tag)}].check", each.check) for each in config.monitors if each.check]
    checks += [(f"agent.checks[{describe(each.tag)}]", each) for each in config.agent.checks]
    for place, check in checks:
        for key, address in _addresses(check.target):
            parts = urlsplit(address)
            is_clear = parts.scheme.lower() in ("http", "ws")
            if is_clear and check.secrets and not _is_near(parts.hostname or ""):
                yield f"{place}.{key}: a secret is sent unencrypted, use https"


def _addresses(target: Target) -> Iterator[tuple[str, str]]:
    match target:
        case HttpTarget(url=url, oauth=oauth):
            yield "http", url
            if oauth is not None:
                yield "oauth.token_url", oauth.token_url
        case WebSocketTarget(url=url):
            yield "websocket", url


def _is_near(host: str) -> bool:
    """Whether a host is on this machine or in a private network, as far as its name says."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.lower().endswith(LOCAL_SUFFIXES)


def _without_effect(config: Config) -> Iterator[str]:
    used = {config.notifications.last_resort}
    in_force = set()
    for monitor in config.monitors:
        for rule in config.rules_of(monitor.tag):
            in_force.add(rule.name)
            burn = rule.condition
            if isinstance(burn, BurnRate) and burn.rate * (100 - burn.target) > 100:
                yield (
                    f"alerts[{describe(rule.name)}].burn_rate: is never reached with the objective of "
                    f"{describe(monitor.tag)}, {burn.target:g} %: at most {100 / (100 - burn.target):.4g}"
                )
    for alert in config.alerts:
        used.update(alert.rule.to)
        if alert.rule.name not in in_force:
            yield f"alerts[{describe(alert.rule.name)}]: holds for no monitor"
    tells = any(channel.tells(NoticeKind.MAINTENANCE_ANNOUNCED) for channel in config.channels)
    for maintenance in config.maintenance:
        if maintenance.announce and not tells:
            yield (
                f"maintenance[{describe(maintenance.name)}].announce: no channel has maintenance in its tell"
            )
    for channel in config.channels:
        if channel.tells(NoticeKind.MAINTENANCE_ANNOUNCED):
            continue
        if channel.name not in used:
            yield f"channels[{describe(channel.name)}]: no rule names it"
