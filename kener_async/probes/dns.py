"""DNS: the records of a name, by a chosen name server or those that this process asks itself."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
from dns.message import Message, QueryMessage
from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import RdataType

from kener_async.domain.checks import Obstacle
from kener_async.probes.name_servers import NameServer, ask, servers_of_system
from kener_async.probes.own_faults import obstacle_of, words_of
from kener_async.probes.probe import NoAnswer, NotMeasured, Observation, Trace
from kener_async.probes.settings import CheckSettings, DnsTarget
from kener_async.probes.sockets import Route
from kener_async.probes.vantage import Vantage

NEXT_SERVER_SECONDS = 2.5  # at most, until the next server is asked
UNSURE = frozenset({dns.rcode.SERVFAIL, dns.rcode.REFUSED})  # the next server may know more
MANY_RECORDS = 200
PAYLOAD = 1232  # bytes of a datagram that arrive everywhere in one piece


class DnsProbe:
    """Looks at the records of a name. Reusable; see probes/probe.py."""

    def __init__(self, target: DnsTarget, check: CheckSettings, vantage: Vantage) -> None:
        """Raises ValueError for a server, a record or a name that cannot be parsed."""
        self._target = target
        self._vantage = vantage
        self._server = NameServer.parse(target.server) if target.server else None
        self._route = Route.of(check)
        self._patience = min(NEXT_SERVER_SECONDS, check.timing.timeout / 3)
        self._record = record_type(target.record)
        self._name = asked_name(target.name, self._record)

    async def look(self, trace: Trace) -> Observation:
        """Ask for the records; raises as every probe."""
        if self._server is not None:
            return await self._asked(self._server, self._route, trace)
        return await self._by_own_servers(trace)

    async def _by_own_servers(self, trace: Trace) -> Observation:
        """Ask the name servers of this process, one after another; by the rule for its look-ups, 8.5."""
        names, name = self._vantage.names, self._target.name
        servers = self._own_servers()
        trace.looked_up = name  # a time-out is that of our resolver
        seen: Observation | None = None
        for server in servers[:-1]:
            with suppress(TimeoutError, NoAnswer, OSError):
                async with asyncio.timeout(self._patience):
                    seen = await self._asked(server, Route(), trace)
                    if not self._is_unsure(seen):
                        break
        else:
            seen = await self._last(servers[-1], trace)
        trace.looked_up = ""
        assert seen is not None  # noqa: S101  the loop ends with one, or raises
        if not self._is_unsure(seen):
            names.note_answer(name)
        elif isinstance(failure := names.failure(name, str(seen.values["rcode"])), NotMeasured):
            raise failure
        return seen

    async def _last(self, server: NameServer, trace: Trace) -> Observation:
        """Ask the last of our servers: that it cannot be reached may be our own fault."""
        try:
            return await self._asked(server, Route(), trace)
        except OSError as error:
            if obstacle_of(error) is not None:
                raise
            raise self._vantage.names.failure(self._target.name, words_of(error)) from None

    def _own_servers(self) -> Sequence[NameServer]:
        if chosen := self._vantage.settings.name_servers:
            return [NameServer.parse(each) for each in chosen]
        if servers := servers_of_system():
            return servers
        raise NotMeasured(Obstacle.NAMES, "/etc/resolv.conf names no server")

    async def _asked(self, server: NameServer, route: Route, trace: Trace) -> Observation:
        question = dns.message.make_query(self._name, self._record, use_edns=0, payload=PAYLOAD)
        trace.awaited = "answer"
        began = time.perf_counter()
        before = trace.phases.name or 0.0
        answer = await ask(server, question, self._vantage.sockets, route, trace, self._target.tls)
        seconds = time.perf_counter() - began - ((trace.phases.name or 0.0) - before)
        if sum(map(len, answer.answer)) > MANY_RECORDS:  # which would hold the event loop
            records = await asyncio.to_thread(records_in, answer, self._record)
        else:
            records = records_in(answer, self._record)
        return self._observed(answer, records, seconds)

    def _observed(self, answer: Message, records: frozenset[str], seconds: float) -> Observation:
        rcode = dns.rcode.to_text(answer.rcode())
        fault = ""
        if answer.rcode() != dns.rcode.NOERROR:
            fault = f"rcode is {rcode}"
        elif not records:
            fault = f"no {dns.rdatatype.to_text(self._record)} record"
        return Observation(seconds, {"rcode": rcode, "records": records}, fault=fault)

    @staticmethod
    def _is_unsure(seen: Observation) -> bool:
        return dns.rcode.from_text(str(seen.values["rcode"])) in UNSURE


def record_type(text: str) -> RdataType:
    """The type of a record, such as `MX` or `TYPE257`; raises ValueError."""
    try:
        return dns.rdatatype.from_text(text)
    except (dns.exception.DNSException, ValueError):
        raise ValueError(f"{text} is not a type of record") from None


def asked_name(text: str, record: RdataType) -> Name:
    """The name to ask for, absolute: of an address's PTR record the reverse one; raises ValueError."""
    if not text:
        raise ValueError("the name is empty")
    try:
        if record == dns.rdatatype.PTR and _is_address(text):
            return dns.reversename.from_address(text)
        return dns.name.from_text(text, idna_codec=dns.name.IDNA_2008_Practical)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{text} is not a valid name: {error}") from None


def records_in(answer: Message, record: RdataType) -> frozenset[str]:
    """The records of this type in an answer, at the end of its chain of aliases; of ANY all."""
    if record == dns.rdatatype.ANY:
        return frozenset(record_text(each) for rrset in answer.answer for each in rrset)
    if not isinstance(answer, QueryMessage) or not answer.question:
        return frozenset()
    try:
        found = answer.resolve_chaining().answer
    except dns.exception.DNSException:  # a loop of aliases, or records of a name that does not exist
        return frozenset()
    return frozenset(record_text(each) for each in found or ())


def record_text(record: Rdata) -> str:
    """A record as in a zone file; names are in lower case without the last dot, strings of TXT are joined."""
    if record.rdtype in {dns.rdatatype.TXT, dns.rdatatype.SPF}:
        return b"".join(getattr(record, "strings")).decode(errors="replace")  # noqa: B009
    return " ".join(_plain_word(word) for word in record.to_text().split(" "))


def _plain_word(word: str) -> str:
    """A word of a record; a name, which ends with a dot, in lower case and without it."""
    is_name = word.endswith(".") and len(word) > 1 and not word.endswith("\\.") and '"' not in word
    return word[:-1].lower() if is_name else word


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
