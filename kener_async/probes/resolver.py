"""Look-ups by the name servers of `[checks] name_servers`, one after another until one answers."""

import asyncio
from collections.abc import Sequence

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
from dns.message import Message, QueryMessage
from dns.rdatatype import RdataType

from kener_async.probes.name_servers import NameServer, ask
from kener_async.probes.names import IpVersion, TemporaryFailure
from kener_async.probes.own_faults import obstacle_of, words_of
from kener_async.probes.probe import NoAnswer, NotMeasured, Trace
from kener_async.probes.sockets import Route, Sockets

ANSWER_SECONDS = 2.5  # until the next server is asked
RECORDS: dict[IpVersion, tuple[RdataType, ...]] = {
    0: (dns.rdatatype.AAAA, dns.rdatatype.A),
    4: (dns.rdatatype.A,),
    6: (dns.rdatatype.AAAA,),
}


class Resolver:
    """The addresses of names, for probes/names.py. Names of the servers are looked up by `sockets`."""

    def __init__(self, servers: Sequence[NameServer], sockets: Sockets) -> None:
        self._servers = servers
        self._sockets = sockets

    async def addresses(self, host: str, ip: IpVersion) -> tuple[str, ...]:
        """The addresses of a name; raises NoAnswer, NotMeasured, and TemporaryFailure for no answer now."""
        failures: list[str] = []
        for server in self._servers:
            asked = await asyncio.gather(*(self._asked(server, host, record) for record in RECORDS[ip]))
            answers = [answer for answer in asked if isinstance(answer, QueryMessage)]
            if found := tuple(each for answer in answers for each in _addresses(answer)):
                return found
            if any(answer.rcode() == dns.rcode.NXDOMAIN for answer in answers):
                raise NoAnswer(f"name not found: {host}")
            if len(answers) == len(asked):
                raise NoAnswer(f"{host} has no {'' if ip == 0 else f'IPv{ip} '}address")
            failures.extend(f"{server.host}: {each}" for each in asked if isinstance(each, str))
        raise TemporaryFailure(", ".join(dict.fromkeys(failures)))

    async def _asked(self, server: NameServer, host: str, record: RdataType) -> Message | str:
        """The answer of a server, or why there is none that is of use."""
        try:
            question = dns.message.make_query(host, record)
        except dns.exception.DNSException:
            raise NoAnswer(f"{host} is not a valid name", is_network=False) from None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await ask(server, question, self._sockets, Route(), Trace())
        except TimeoutError:
            return "no answer"
        except NoAnswer as error:
            return str(error)
        except OSError as error:
            if (own := obstacle_of(error)) is not None:
                raise NotMeasured(own, words_of(error)) from None
            return words_of(error)
        if answer.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            return answer
        return dns.rcode.to_text(answer.rcode())


def _addresses(answer: QueryMessage) -> tuple[str, ...]:
    """The addresses at the end of a chain of aliases; empty if it does not end at any."""
    try:
        found = answer.resolve_chaining().answer
    except dns.exception.DNSException:
        return ()
    return tuple(each.address for each in found) if found is not None else ()
