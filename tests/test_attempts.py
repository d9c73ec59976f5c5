"""One attempt: what it says, whose fault it is, and what its reason must not hold."""

import asyncio
import errno
import ssl
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import pytest

from kener_async.domain.checks import LONGEST_REASON, CheckTiming, Obstacle, Phases, SeenCertificate
from kener_async.domain.conditions import parse
from kener_async.domain.masking import masked, shortened
from kener_async.domain.samples import Status
from kener_async.probes.attempt import attempt
from kener_async.probes.probe import NoAnswer, NotMeasured, Observation, Trace
from kener_async.probes.settings import AliveTarget, CheckSettings, HttpTarget, OAuth, TcpTarget
from kener_async.probes.stalls import Stalls
from kener_async.probes.vantage import Vantage, VantageSettings
from tests.rigs.process import ROOT, a_free_port

UP, DEGRADED, DOWN = Status.UP, Status.DEGRADED, Status.DOWN
SEEN = Observation(0.25, {"status": 200}, {"server": "nginx"})


@dataclass
class ScriptedProbe:
    """Sees what the test says, one after another; the last again and again."""

    script: list[Observation | Exception | Callable[[Trace], Awaitable[Observation]]]
    looks: int = 0
    traces: list[Trace] = field(default_factory=list)

    async def look(self, trace: Trace) -> Observation:
        said = self.script[min(self.looks, len(self.script) - 1)]
        self.looks += 1
        self.traces.append(trace)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Observation) else await said(trace)


@pytest.fixture
async def vantage() -> AsyncIterator[Vantage]:
    async with Vantage.opened(VantageSettings()) as opened:
        yield opened


def a_check(*expect: str, warn: tuple[str, ...] = (), timeout: float = 0.05, **named) -> CheckSettings:
    return CheckSettings(
        "earth",
        named.pop("target", TcpTarget("earth.example", 1)),
        CheckTiming(60, timeout),
        expect=tuple(parse(each) for each in expect) or None,
        warn=tuple(parse(each) for each in warn),
        **named,
    )


@pytest.mark.parametrize(
    ("check", "seen", "status", "reason"),
    [
        (a_check(), SEEN, UP, ""),
        (a_check(), replace(SEEN, fault="status is 502"), DOWN, "status is 502"),
        (a_check("status == 200"), replace(SEEN, fault="status is 502"), UP, ""),
        (a_check("status == 204"), SEEN, DOWN, "status is 200"),
        (a_check("latency < 200ms"), SEEN, DOWN, "latency is 250 ms"),
        (a_check(warn=("latency < 200ms",)), SEEN, DEGRADED, "latency is 250 ms"),
        (a_check(warn=('header "server" == "apache"',)), SEEN, DEGRADED, 'header "server" is "nginx"'),
        (a_check("status == 204", warn=("latency < 1ms",)), SEEN, DOWN, "status is 200"),
        (a_check(), replace(SEEN, status=DEGRADED, fault="exit status 3"), DEGRADED, "exit status 3"),
        (a_check(warn=("latency < 1ms",)), replace(SEEN, status=DOWN, fault="dead"), DOWN, "dead"),
        (a_check("certificate > 1d"), SEEN, DOWN, "certificate: is not there"),
        (a_check(invert=True), SEEN, DOWN, "it answers, and must not"),
        (a_check(invert=True), replace(SEEN, fault="status is 502"), UP, ""),
        (a_check(invert=True, warn=("latency < 1ms",)), SEEN, DEGRADED, "latency is 250 ms"),
    ],
)
async def test_what_is_seen_is_judged_by_the_conditions(
    check: CheckSettings, seen: Observation, status: Status, reason: str, vantage: Vantage
):
    made = await attempt(check, ScriptedProbe([seen]), 7.0, vantage)
    assert (made.at, made.status, made.seconds, made.obstacle) == (7.0, status, 0.25, None)
    assert made.reason == reason


@pytest.mark.parametrize(
    ("ends", "condition", "status"),
    [(864_001, "certificate > 10d", UP), (864_000, "certificate > 10d", DOWN), (-5, "certificate < 1s", UP)],
)
async def test_the_earliest_end_of_a_chain_is_that_of_the_certificate(
    ends: int, condition: str, status: Status, vantage: Vantage
):
    chain = tuple(SeenCertificate(b"1", "a", "b", end) for end in (9_999_999, ends, 9_000_000))

    async def look(trace: Trace) -> Observation:
        trace.certificates = chain
        return SEEN

    made = await attempt(a_check(condition), ScriptedProbe([look]), 0.0, vantage)
    assert (made.status, made.certificates) == (status, chain)


@pytest.mark.parametrize(
    ("error", "reason", "is_network"),
    [
        (NoAnswer("no greeting"), "no greeting", True),
        (NoAnswer("status is 5", is_network=False), "status is 5", False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused", True),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset"), "connection reset", True),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route to the host", True),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "no answer", True),
        (ssl.SSLError(1, "[SSL: NO_SHARED_CIPHER] x"), "TLS failed", False),
    ],
)
async def test_what_the_target_does_wrong_is_down(
    error: Exception, reason: str, is_network: bool, vantage: Vantage
):
    made = await attempt(a_check(), ScriptedProbe([error]), 0, vantage)
    assert (made.status, made.reason, made.is_network) == (DOWN, reason, is_network)
    inverted = await attempt(a_check(invert=True), ScriptedProbe([error]), 0, vantage)
    assert (inverted.status, inverted.reason, inverted.is_network) == (UP, "", is_network)


@pytest.mark.parametrize(
    ("error", "obstacle"),
    [
        (OSError(errno.EMFILE, "Too many open files"), Obstacle.FILES),
        (OSError(errno.ENFILE, "File table overflow"), Obstacle.FILES),
        (OSError(errno.ENOMEM, "Out of memory"), Obstacle.MEMORY),
        (OSError(errno.ENOBUFS, "No buffer space"), Obstacle.MEMORY),
        (MemoryError(), Obstacle.MEMORY),
        (RuntimeError("can't start new thread"), Obstacle.MEMORY),
        (PermissionError(errno.EACCES, "Permission denied"), Obstacle.PERMISSION),
        (PermissionError(errno.EPERM, "Operation not permitted"), Obstacle.PERMISSION),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign"), Obstacle.ADDRESS),
        (OSError(errno.EAFNOSUPPORT, "No IPv6"), Obstacle.ADDRESS),
        (NotMeasured(Obstacle.SECRET, "SHOP_TOKEN is missing"), Obstacle.SECRET),
        (AssertionError(), Obstacle.DEFECT),
        (KeyError("x"), Obstacle.DEFECT),
        (RecursionError(), Obstacle.DEFECT),
    ],
)
@pytest.mark.parametrize("invert", [False, True])
async def test_what_we_do_wrong_is_not_measured(
    error: Exception, obstacle: Obstacle, invert: bool, vantage: Vantage
):
    made = await attempt(a_check(invert=invert), ScriptedProbe([error]), 0, vantage)
    assert (made.status, made.obstacle) == (None, obstacle)
    assert made.reason


@pytest.mark.process
async def test_without_file_descriptors_no_kind_of_check_is_measured():
    """For real: also where the system then says that a name does not exist."""
    command = (sys.executable, "-m", "tests.rigs.without_files", f"127.0.0.1:{a_free_port()}")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    lines = output.decode().splitlines()
    assert {line.partition(" ")[2] for line in lines} == {"None files too many open files"}
    assert len(lines) == 12


async def test_a_cancelled_attempt_is_cancelled(vantage: Vantage):
    task = asyncio.create_task(attempt(a_check(timeout=30), ScriptedProbe([hang]), 0, vantage))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# The time is over


async def hang(trace: Trace) -> Observation:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without stalls of the event loop, which a busy host has."""
    monkeypatch.setattr(Stalls, "longest", lambda self, began: 0.0)


@pytest.mark.usefixtures("calm")
async def test_without_an_answer_in_time_it_is_down_for_want_of_what_was_awaited(vantage: Vantage):
    async def greet(trace: Trace) -> Observation:
        trace.phases = Phases(name=0.01)
        trace.awaited = "greeting"
        return await hang(trace)

    made = await attempt(a_check(), ScriptedProbe([greet]), 0, vantage)
    assert (made.status, made.reason, made.seconds) == (DOWN, "no greeting within 50 ms", 0.05)
    assert made.is_network
    assert made.phases.name == 0.01


@pytest.mark.usefixtures("calm")
async def test_what_has_come_in_time_is_judged(vantage: Vantage):
    async def answer(trace: Trace) -> Observation:
        trace.partial = replace(SEEN, values={"answer": "PON"})
        return await hang(trace)

    made = await attempt(a_check('answer contains "PONG"'), ScriptedProbe([answer]), 0, vantage)
    assert made.status is DOWN
    assert made.reason.startswith("answer")


async def stall(trace: Trace) -> Observation:
    """Hold the loop as something else would."""
    asyncio.get_running_loop().call_soon(time.sleep, 0.12)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return SEEN


async def stall_and_hang(trace: Trace) -> Observation:
    await stall(trace)
    return await hang(trace)


async def test_a_time_out_in_which_our_loop_stalled_is_not_measured(vantage: Vantage):
    made = await attempt(a_check(timeout=0.2), ScriptedProbe([stall_and_hang]), 0, vantage)
    assert (made.status, made.obstacle) == (None, Obstacle.STALL)
    assert made.reason.startswith("this server was too busy: its event loop stalled for ")


async def test_a_time_out_much_longer_than_the_stall_in_it_is_the_targets(
    vantage: Vantage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Stalls, "longest", lambda self, began: 0.19)
    probe = ScriptedProbe([hang])
    made = await attempt(a_check(timeout=2), probe, 0, vantage)
    assert (made.status, made.reason, probe.looks) == (DOWN, "no answer within 2 s", 1)


async def test_a_latency_with_a_stall_in_it_is_measured_once_more(vantage: Vantage):
    slow, quick = replace(SEEN, seconds=0.3), replace(SEEN, seconds=0.1)

    async def slowly(trace: Trace) -> Observation:
        await stall(trace)
        return slow

    probe = ScriptedProbe([slowly, quick])
    assert (await attempt(a_check(timeout=5), probe, 0, vantage)).seconds == 0.1
    assert probe.looks == 2
    probe = ScriptedProbe([slowly, slowly])
    assert (await attempt(a_check(timeout=5), probe, 0, vantage)).seconds == 0.3
    assert probe.looks == 2


async def test_a_command_is_not_repeated_for_a_stall(vantage: Vantage):
    probe = ScriptedProbe([stall])
    await attempt(a_check(timeout=5, target=AliveTarget()), probe, 0, vantage)
    assert probe.looks == 1


async def test_stalls_are_those_since_an_instant():
    loop = asyncio.get_running_loop()
    stalls = Stalls()
    with stalls:
        began = loop.time()
        await asyncio.sleep(0.03)
        assert stalls.longest(began) < 0.03
        time.sleep(0.1)
        assert 0.07 < stalls.longest(began) < 0.3  # before any timer could run
        await asyncio.sleep(0.03)
        assert 0.07 < stalls.longest(began) < 0.3
        assert stalls.longest(loop.time()) == 0
    await asyncio.sleep(0.05)
    assert stalls._timer is None  # an idle process has no timer


# Secrets

SECRET = 'p@ss/w0rd "é'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").replace("%2F", "%2f").replace("%C3%A9", "%c3%a9"),
        SECRET.replace("/", "\\/"),
        b64encode(SECRET.encode()).decode(),
        b64encode(SECRET.encode()).decode().rstrip("="),
        'p@ss/w0rd \\"\\u00e9',
        'p@ss/w0rd \\"é',
        "p@ss/w0rd &quot;é",
    ],
)
def test_a_secret_is_masked_in_every_form(form: str):
    assert masked(f"got <{form}> there", [SECRET]) == "got <***> there"


@pytest.mark.parametrize("encoded", [str, lambda text: b64encode(text.encode()).decode()])
async def test_the_beginning_of_a_secret_that_is_cut_off_is_masked(
    encoded: Callable[[str], str], vantage: Vantage
):
    secret = "".join(f"{number:03}-" for number in range(50))
    check = a_check("header 'echo' == 'ok'", secrets=(secret,))
    seen = replace(SEEN, headers={"echo": f"Bearer {encoded(secret)}"})
    made = await attempt(check, ScriptedProbe([seen]), 0, vantage)
    assert made.reason == "header 'echo' is \"Bearer ***...\""


@pytest.mark.parametrize("form", [SECRET, quote(SECRET), b64encode(SECRET.encode()).decode()])
def test_the_beginning_of_a_secret_that_was_cut_is_masked(form: str):
    for length in range(4, len(form)):
        cut = shortened(f'"{form}"', length + 1)
        assert masked(f"got {cut}, sorry", [SECRET]) == 'got "***..., sorry'


@pytest.mark.parametrize("before", ["", "i", "id", "id=", "id=1"])
@pytest.mark.parametrize("after", ["", "&", "&b", "&b="])
def test_a_secret_is_masked_within_other_text_in_base64(before: str, after: str):
    shown = masked(b64encode(f"{before}{SECRET}{after}".encode()).decode(), [SECRET])
    assert "***" in shown
    assert len(shown) <= 2 + len("***") + 12


def test_a_short_secret_is_masked_as_a_word():
    assert masked("pin 12 of 2012: x12", ["12"]) == "pin *** of 2012: x12"


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (a_check(secrets=("tok-12345",)), "Bearer tok-12345"),
        (a_check(target=HttpTarget("http://a/", user="ada", password="lovelace")), "lovelace"),
        (
            a_check(target=HttpTarget("http://a/", user="ada", password="lovelace")),
            b64encode(b"ada:lovelace").decode(),
        ),
        (
            a_check(target=HttpTarget("http://a/", oauth=OAuth("http://b/", "c", "oauth-secret"))),
            "oauth-secret",
        ),
        (a_check(target=HttpTarget("http://ada:lovelace@a/")), "lovelace"),
        (a_check(target=HttpTarget("http://a/", proxy="http://ada:lovelace@proxy:1")), "lovelace"),
    ],
)
async def test_reasons_hold_no_secret(check: CheckSettings, text: str, vantage: Vantage):
    for error in (NoAnswer(f"sent {text} back"), NotMeasured(Obstacle.SECRET, f"has {text} in it")):
        made = await attempt(check, ScriptedProbe([error]), 0, vantage)
        assert text not in made.reason
        assert "***" in made.reason


async def test_a_reason_is_one_short_printable_line(vantage: Vantage):
    text = "a\r\nb\x1b[31m \u202ec " + "long " * 100
    made = await attempt(a_check(), ScriptedProbe([NoAnswer(text)]), 0, vantage)
    assert made.reason.startswith("a b [31m c long")
    assert made.reason.isprintable()
    assert len(made.reason) == LONGEST_REASON
