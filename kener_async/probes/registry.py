"""Which probe looks at which kind of target."""

from kener_async.probes.greeting import GreetingProbe
from kener_async.probes.http import HttpProbe
from kener_async.probes.ping import PingProbe
from kener_async.probes.probe import Probe
from kener_async.probes.settings import (
    CheckSettings,
    DnsTarget,
    GreetingTarget,
    HttpTarget,
    PingTarget,
    TcpTarget,
    TlsTarget,
    UdpTarget,
    WebSocketTarget,
)
from kener_async.probes.tcp import TcpProbe
from kener_async.probes.tls import TlsProbe
from kener_async.probes.udp import UdpProbe
from kener_async.probes.vantage import Vantage
from kener_async.probes.websocket import WebSocketProbe


def probe_of(check: CheckSettings, vantage: Vantage) -> Probe:
    """The probe of a check; it may be used for as long as the vantage is open."""
    match check.target:
        case HttpTarget() as target:
            return HttpProbe(target, check, vantage)
        case WebSocketTarget() as target:
            return WebSocketProbe(target, check, vantage)
        case PingTarget() as target:
            return PingProbe(target, check, vantage)
        case TcpTarget() as target:
            return TcpProbe(target, check, vantage)
        case UdpTarget() as target:
            return UdpProbe(target, check, vantage)
        case DnsTarget() as target:
            return _dns_probe(target, check, vantage)
        case TlsTarget() as target:
            return TlsProbe(target, check, vantage)
        case GreetingTarget() as target:
            return GreetingProbe(target, check, vantage)
        case _:
            raise NotImplementedError(type(check.target).__name__)


def _dns_probe(target: DnsTarget, check: CheckSettings, vantage: Vantage) -> Probe:
    """Imported here, because the library for it takes memory that most do not need."""
    from kener_async.probes.dns import DnsProbe

    return DnsProbe(target, check, vantage)
