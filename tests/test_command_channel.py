"""Commands: what the program gets, what its end means, and that nothing of it stays."""

import asyncio
import gc
import json
import os
import signal
import time
from pathlib import Path

import pytest

from kener_async.channels.command import CommandRun, environment
from kener_async.channels.message import NotDelivered
from kener_async.config.channels import CommandChannel
from kener_async.config.schema import built, schema_of
from tests.rigs.messages import HOSTILE, a_message


def command(*words: str, timeout: float = 10) -> CommandRun:
    written = {"name": "ops", "kind": "command", "command": list(words), "locale": "en", "timezone": "UTC"}
    return CommandRun(
        built(CommandChannel, schema_of(CommandChannel)().load(written), Path()), timeout=timeout
    )


async def refusal(channel: CommandRun) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        await channel.send(a_message(), {})
    return caught.value


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_the_program_gets_the_message_as_json(tmp_path: Path, text: str):
    got = tmp_path / "got"
    receipt = await command("/bin/sh", "-c", f"cat > {got}; echo taken").send(a_message(text=text), {})
    assert receipt.answer == "taken"
    document = json.loads(got.read_bytes())
    assert document["id"] == "delivery-17"
    assert document["items"][0]["reason"] == (text or "HTTP 503")
    assert document["items"][0]["status"] == "DOWN"


@pytest.mark.parametrize(
    ("status", "for_good"),
    [
        *((status, False) for status in (1, 2, 69, 71, 74, 75, 255)),
        *((status, True) for status in (64, 65, 66, 67, 68, 77, 78, 126, 127)),
    ],
)
async def test_which_exit_statuses_mean_another_try(status: int, for_good: bool):
    error = await refusal(command("/bin/sh", "-c", f"echo no >&2; exit {status}"))
    assert error.for_good is for_good
    assert str(error) == f"ended with status {status}: no"


async def test_a_signal_means_another_try():
    error = await refusal(command("/bin/sh", "-c", "kill -9 $$"))
    assert (str(error), error.for_good) == ("was ended by signal 9", False)


@pytest.mark.parametrize("program", ["/nowhere/alert", "/etc/passwd", "/etc/passwd/alert"])
async def test_a_program_that_cannot_be_executed_is_for_good(program: str):
    error = await refusal(command(program))
    assert error.for_good
    assert str(error).startswith("cannot be executed")


async def test_a_program_that_reads_nothing_or_writes_a_lot_is_not_in_the_way():
    assert (await command("/bin/true").send(a_message(text="x" * 500_000), {})).answer == ""
    answer = (await command("/bin/sh", "-c", "yes | head -c 3000000").send(a_message(), {})).answer
    assert 400 < len(answer) <= 500


async def test_a_program_that_reads_nothing_leaves_nothing_to_be_logged():
    told = list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    for _ in range(5):
        await command("/bin/true").send(a_message(text="x" * 500_000), {})
    await asyncio.sleep(0)
    gc.collect()
    assert told == []


async def test_arguments_are_not_in_the_answer():
    channel = command("/bin/sh", "-c", 'echo "key $1 refused"; exit 1', "alert", "secret-0123")
    assert str(await refusal(channel)) == "ended with status 1: key *** refused"


async def test_it_is_killed_with_all_that_it_started(tmp_path: Path):
    pid_file = tmp_path / "pid"
    script = f"sleep 1000 & echo $! > {pid_file}; wait"
    error = await refusal(command("/bin/sh", "-c", script, timeout=0.5))
    assert (str(error), error.for_good) == ("did not end within 0.5 s", False)
    await until_gone(int(pid_file.read_text()))


async def test_it_is_killed_when_the_server_stops(tmp_path: Path):
    pid_file = tmp_path / "pid"
    sending = asyncio.create_task(
        command("/bin/sh", "-c", f"echo $$ > {pid_file}; sleep 1000").send(a_message(), {})
    )
    while not pid_file.exists() or not pid_file.read_text():
        await asyncio.sleep(0.01)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await until_gone(int(pid_file.read_text()))


async def test_it_is_killed_when_the_server_stops_while_it_starts(tmp_path: Path):
    pid_file = tmp_path / "pid"
    script = f"sleep 1000 & echo $! > {pid_file}; wait"
    sending = asyncio.create_task(command("/bin/sh", "-c", script).send(a_message(), {}))
    while not (pid_file.exists() and pid_file.read_text()):
        await asyncio.sleep(0)  # its start is not complete before the loop has turned some more times
        time.sleep(0.01)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await until_gone(int(pid_file.read_text()))


async def test_what_it_leaves_behind_changes_nothing_of_its_success(tmp_path: Path):
    pid_file = tmp_path / "pid"
    script = f"sleep 1000 & echo $! > {pid_file}; exit 0"
    await command("/bin/sh", "-c", script, timeout=0.5).send(a_message(), {})
    await until_gone(int(pid_file.read_text()))


async def test_it_sees_nothing_of_the_servers_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KENER_AUTH_SECRET_KEY", "hidden")
    answer = (await command("/usr/bin/env").send(a_message(), {})).answer
    assert "KENER" not in answer
    names = {word.partition("=")[0] for word in answer.split() if "=" in word}
    assert names <= {"PATH", "HOME", "TZ", "LANG"}
    assert environment({})["PATH"] == os.defpath


async def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        await asyncio.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError(f"{pid} is still there")
