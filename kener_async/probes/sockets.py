"""Open sockets and connections of checks: guarded, from the right address, over the right IP, timed."""

import asyncio
import errno
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from kener_async.domain.checks import Obstacle
from kener_async.probes import certificates
from kener_async.probes.names import IpVersion, Names
from kener_async.probes.own_faults import obstacle_of, tls_words, without_files, words_of
from kener_async.probes.probe import NoAnswer, NotMeasured, Trace
from kener_async.probes.settings import CheckSettings, TlsSettings
from kener_async.probes.targets import PublicTargets
from kener_async.probes.tls_contexts import TlsContexts

NEXT_ADDRESS_SECONDS = 0.25  # until the next address is tried beside the one before (RFC 8305)
SECOND_LOOK_SECONDS = 3.0  # at a certificate that is not valid
LARGEST_LINE = 1 << 16  # bytes

P = TypeVar("P", bound=asyncio.BaseProtocol)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
VERIFIED = TlsSettings()


@dataclass(frozen=True, slots=True)
class Route:
    """How targets of a check are reached. `is_trusted`: at any address, else at public ones."""

    ip: IpVersion = 0
    is_trusted: bool = True

    @classmethod
    def of(cls, check: CheckSettings) -> "Route":
        """The route of a check."""
        return cls(check.ip, check.is_trusted)


class Sockets:
    """Make sockets for checks. Every socket of a check comes from `open`, where the guard stands."""

    def __init__(
        self,
        names: Names,
        targets: PublicTargets,
        contexts: TlsContexts,
        source_ipv4: str = "",
        source_ipv6: str = "",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._names = names
        self._targets = targets
        self._contexts = contexts
        self._sources = {socket.AF_INET: source_ipv4, socket.AF_INET6: source_ipv6}
        self._clock = clock

    async def addresses(self, host: str, route: Route, trace: Trace) -> tuple[str, ...]:
        """The addresses of a host that the check may reach, at least one; the time of it is a phase.

        Raises NoAnswer, and NotMeasured also where the target may not be reached.
        """
        began = time.perf_counter()
        before, trace.looked_up = trace.looked_up, host
        found = await self._names.resolve(host, route.ip)
        trace.looked_up = before
        if found != (host,):
            trace.add(name=time.perf_counter() - began)
        if route.is_trusted:
            return found
        allowed = tuple(each for each in found if self._targets.allow(each))
        if not allowed:
            raise _not_public(found[0])
        return allowed

    def open(self, address: str, kind: socket.SocketKind, route: Route, protocol: int = 0) -> socket.socket:
        """A non-blocking socket to be connected to this literal address; raises NotMeasured and OSError."""
        if not route.is_trusted and not self._targets.allow(address):
            raise _not_public(address)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        source = self._sources[family]
        try:
            if source:
                opened.bind(socket_address(source, 0))
        except OSError as error:
            opened.close()
            text = f"{source} is not an address of this host: {words_of(error)}"
            raise NotMeasured(Obstacle.ADDRESS, text) from None
        return opened

    async def datagrams(self, host: str, port: int, route: Route, trace: Trace) -> tuple[socket.socket, str]:
        """A UDP socket connected to the first address of a host to which there is a way; and that address.

        Raises NoAnswer, NotMeasured and OSError.
        """
        *others, last = await self.addresses(host, route, trace)
        for address in others:
            with suppress(OSError):
                return self._datagrams(address, port, route), address
        return self._datagrams(last, port, route), last

    def _datagrams(self, address: str, port: int, route: Route) -> socket.socket:
        opened = self.open(address, socket.SOCK_DGRAM, route)
        try:
            opened.connect(socket_address(address, port))
        except BaseException:
            opened.close()
            raise
        return opened

    async def connect(
        self, host: str, port: int, route: Route, trace: Trace, tls: TlsSettings | None = None
    ) -> Streams:
        """Connect over TCP, with `tls` over TLS; fills in the phases and the certificates.

        Raises NoAnswer, NotMeasured and OSError. The caller closes the writer's transport by abort.
        """
        reader = asyncio.StreamReader(limit=LARGEST_LINE)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await self.create(lambda: protocol, host, port, route, trace, tls)
        return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())

    async def create(
        self,
        factory: Callable[[], P],
        host: str,
        port: int,
        route: Route,
        trace: Trace,
        tls: TlsSettings | None = None,
    ) -> tuple[asyncio.Transport, P]:
        """Connect a protocol of asyncio; else as connect."""
        context = None if tls is None else await self._context(tls, trace)
        addresses = await self.addresses(host, route, trace)
        connected = await self._connected(addresses, port, route, trace)
        loop = asyncio.get_running_loop()
        if tls is None or context is None:
            return await _attached(loop.create_connection(factory, sock=connected), connected)
        address = str(connected.getpeername()[0])
        name = tls.server_name or host
        began = time.perf_counter()
        trace.awaited = "TLS handshake"
        try:
            made = await _attached(
                loop.create_connection(factory, sock=connected, ssl=context, server_hostname=name), connected
            )
        except ssl.SSLCertVerificationError as error:
            again = partial(self._blind_chain, address, port, route, name)
            raise await self._not_valid(error, name, trace, again) from None
        except (ssl.SSLError, ConnectionError) as error:
            raise _handshake_failed(error) from None
        self._note_chain(made[0], trace, time.perf_counter() - began)
        trace.awaited = "answer"
        return made

    async def start_tls(
        self,
        streams: Streams,
        host: str,
        trace: Trace,
        tls: TlsSettings = VERIFIED,
        again: Callable[[], Awaitable[Streams]] | None = None,
    ) -> None:
        """Begin TLS on a plain connection (STARTTLS); fills in the phase and the certificates.

        `again` makes the same plain connection once more, as streams that are ready for TLS: where the
        certificate is not good, it is looked at on that one, so that the reason can say why.
        Raises as connect.
        """
        _, writer = streams
        context = await self._context(tls, trace)
        name = tls.server_name or host
        began = time.perf_counter()
        trace.awaited = "TLS handshake"
        try:
            await writer.start_tls(context, server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            blind = None if again is None else partial(self._blind_upgrade, again, name)
            raise await self._not_valid(error, name, trace, blind) from None
        except (ssl.SSLError, ConnectionError) as error:
            raise _handshake_failed(error) from None
        self._note_chain(writer.transport, trace, time.perf_counter() - began)
        trace.awaited = "answer"

    async def tunnel_tls(
        self,
        transport: asyncio.WriteTransport,
        factory: Callable[[], P],
        host: str,
        trace: Trace,
        tls: TlsSettings,
    ) -> tuple[asyncio.Transport, P]:
        """TLS with the target through a tunnel of a proxy, for another protocol of asyncio."""
        context = await self._context(tls, trace)
        name = tls.server_name or host
        began = time.perf_counter()
        protocol = factory()
        try:
            upgraded = await asyncio.get_running_loop().start_tls(
                transport, protocol, context, server_hostname=name
            )
        except ssl.SSLCertVerificationError as error:
            raise await self._not_valid(error, name, trace, None) from None
        except (ssl.SSLError, ConnectionError) as error:
            raise _handshake_failed(error) from None
        if upgraded is None:
            raise NoAnswer("TLS failed: the connection was closed in the handshake")
        protocol.connection_made(upgraded)
        self._note_chain(upgraded, trace, time.perf_counter() - began)
        return upgraded, protocol

    async def _context(self, tls: TlsSettings, trace: Trace) -> ssl.SSLContext:
        """The context for these settings; loading one the first time is not the target's time."""
        began = time.perf_counter()
        context = await self._contexts.of(tls)
        trace.own += time.perf_counter() - began
        return context

    async def _connected(
        self, addresses: Sequence[str], port: int, route: Route, trace: Trace
    ) -> socket.socket:
        """A socket connected to the first of the addresses that answers."""
        began = time.perf_counter()
        trace.awaited = "connection"
        if len(addresses) == 1:
            connected = await self._dial(addresses[0], port, route)
        else:
            connected = await self._first(addresses, port, route)
        trace.add(connect=time.perf_counter() - began)
        trace.awaited = "answer"
        return connected

    async def _dial(self, address: str, port: int, route: Route) -> socket.socket:
        opened = self.open(address, socket.SOCK_STREAM, route)
        try:
            await _connect(opened, socket_address(address, port))
        except BaseException:
            opened.close()
            raise
        return opened

    async def _first(self, addresses: Sequence[str], port: int, route: Route) -> socket.socket:
        """Dial one address after another, the next as soon as one fails or takes a while."""
        waiting = list(_interleaved(addresses))
        dialing: set[asyncio.Task[socket.socket]] = set()
        failure: BaseException | None = None
        try:
            while waiting or dialing:
                if waiting:
                    dialing.add(asyncio.ensure_future(self._dial(waiting.pop(0), port, route)))
                pause = NEXT_ADDRESS_SECONDS if waiting else None
                done, dialing = await asyncio.wait(
                    dialing, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                )
                connected = [task.result() for task in done if task.exception() is None]
                for spare in connected[1:]:
                    spare.close()
                if connected:
                    return connected[0]
                for task in done:
                    failure = _worse(failure, task.exception())
        finally:
            await _drop(dialing)
        assert failure is not None  # noqa: S101  every address was dialed, and all failed
        raise failure

    def _note_chain(self, transport: asyncio.BaseTransport, trace: Trace, seconds: float) -> None:
        """Keep the chain that was sent; of several connections, the one that ends first."""
        trace.add(tls=seconds)
        chain = certificates.seen(certificates.sent_chain(transport.get_extra_info("ssl_object")))
        before, now = certificates.first_end(trace.certificates), certificates.first_end(chain)
        if now is not None and (before is None or now < before):
            trace.certificates = chain

    async def _not_valid(
        self,
        error: ssl.SSLCertVerificationError,
        name: str,
        trace: Trace,
        again: Callable[[], Awaitable[tuple[bytes, ...]]] | None,
    ) -> NoAnswer | NotMeasured:
        """The reason why a certificate was refused; it is had from a handshake without verification."""
        if (own := without_files()) is not None:  # OpenSSL could not read the authorities
            return own
        chain: tuple[bytes, ...] = ()
        if again is not None:
            with suppress(OSError, NoAnswer, NotMeasured):  # and TimeoutError, which is an OSError
                async with asyncio.timeout(SECOND_LOOK_SECONDS):
                    chain = await again()
        fault = certificates.fault_of(error, chain, name, self._clock())
        trace.certificates = certificates.seen(chain, fault) or trace.certificates
        return NoAnswer(fault, is_network=False)

    async def _blind_chain(self, address: str, port: int, route: Route, name: str) -> tuple[bytes, ...]:
        context = await self._contexts.of(TlsSettings(verify=False))
        dialed = await self._dial(address, port, route)
        transport, _ = await _attached(
            asyncio.get_running_loop().create_connection(
                asyncio.Protocol, sock=dialed, ssl=context, server_hostname=name
            ),
            dialed,
        )
        try:
            return certificates.sent_chain(transport.get_extra_info("ssl_object"))
        finally:
            abort(transport)

    async def _blind_upgrade(self, again: Callable[[], Awaitable[Streams]], name: str) -> tuple[bytes, ...]:
        context = await self._contexts.of(TlsSettings(verify=False))
        _, writer = await again()
        try:
            await writer.start_tls(context, server_hostname=name)
            return certificates.sent_chain(writer.get_extra_info("ssl_object"))
        finally:
            abort(writer.transport)


def guarded_socket(targets: PublicTargets, where: tuple[Any, ...]) -> socket.socket:
    """A socket for an address as getaddrinfo has it, for connectors of aiohttp.

    Raises OSError for one that `targets` does not allow.
    """
    family, kind, protocol, _, address = where
    if not targets.allow(str(address[0])):
        raise OSError(errno.EACCES, "not a public address")
    return socket.socket(family, kind, protocol)


def abort(transport: asyncio.WriteTransport) -> None:
    """Close a connection at once, without waiting for the peer; again is allowed."""
    with suppress(AttributeError):  # of a TLS connection that is lost, in asyncio of Python 3.11
        transport.abort()


def socket_address(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """What a socket connects to, for a literal address, of IPv6 also with a zone (`fe80::1%2`)."""
    host, _, zone = address.partition("%")
    if not zone:
        return (address, port)
    return (host, port, 0, int(zone) if zone.isdigit() else socket.if_nametoindex(zone))


async def _connect(opened: socket.socket, address: tuple[Any, ...]) -> None:
    """Connect a non-blocking socket to a literal address; raises OSError.

    As sock_connect of the loop, but that of uvloop has a thread look up the literal address.
    """
    number = opened.connect_ex(address)
    if number == errno.EINPROGRESS:
        loop, descriptor = asyncio.get_running_loop(), opened.fileno()
        connected: asyncio.Future[None] = loop.create_future()
        loop.add_writer(descriptor, _note, connected)
        try:
            await connected
        finally:
            loop.remove_writer(descriptor)
        number = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


def _note(event: asyncio.Future[None]) -> None:
    if not event.done():  # it is called again until the task that waits has run
        event.set_result(None)


async def _attached(
    creating: Awaitable[tuple[asyncio.Transport, P]], connected: socket.socket
) -> tuple[asyncio.Transport, P]:
    """Create a connection on a socket, which is closed if that fails."""
    try:
        return await creating
    except BaseException:
        connected.close()
        raise


async def _drop(dialing: set[asyncio.Task[socket.socket]]) -> None:
    """Cancel what still connects, and close what has connected meanwhile."""
    for task in dialing:
        task.cancel()
    for result in await asyncio.gather(*dialing, return_exceptions=True):
        if isinstance(result, socket.socket):
            result.close()


def _interleaved(addresses: Sequence[str]) -> Sequence[str]:
    """The addresses in their order, but the two versions of IP by turns."""
    is_first_ipv6 = ":" in addresses[0]
    same = [each for each in addresses if (":" in each) == is_first_ipv6]
    others = [each for each in addresses if (":" in each) != is_first_ipv6]
    longest = max(len(same), len(others))
    pairs = ((same[i : i + 1], others[i : i + 1]) for i in range(longest))
    return [each for pair in pairs for part in pair for each in part]


def _worse(before: BaseException | None, now: BaseException | None) -> BaseException | None:
    """Of two failures the one that says something about the target, such as a refused connection."""
    if before is None or (now is not None and not _is_targets(before) and _is_targets(now)):
        return now
    return before


def _is_targets(error: BaseException) -> bool:
    return isinstance(error, OSError) and obstacle_of(error) is None


def _handshake_failed(error: OSError) -> NoAnswer:
    if isinstance(error, ssl.SSLError):
        return NoAnswer(tls_words(error))
    if error.errno is None:  # of asyncio: the target closed it
        return NoAnswer("TLS failed: the connection was closed in the handshake")
    return NoAnswer(f"TLS failed: {words_of(error)}")


def _not_public(address: str) -> NotMeasured:
    return NotMeasured(
        Obstacle.PERMISSION, f"{address} is not a public address, which this check may not reach"
    )
