"""Which probe looks at which kind of target."""

from kener_async.probes.http import HttpProbe
from kener_async.probes.probe import Probe
from kener_async.probes.settings import CheckSettings, HttpTarget, WebSocketTarget
from kener_async.probes.vantage import Vantage
from kener_async.probes.websocket import WebSocketProbe


def probe_of(check: CheckSettings, vantage: Vantage) -> Probe:
    """The probe of a check; it may be used for as long as the vantage is open."""
    match check.target:
        case HttpTarget() as target:
            return HttpProbe(target, check, vantage)
        case WebSocketTarget() as target:
            return WebSocketProbe(target, check, vantage)
        case _:
            raise NotImplementedError(type(check.target).__name__)
