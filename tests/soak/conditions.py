"""Parse random texts as conditions, and judge random answers by those that are some.

    python -m tests.soak.conditions [--texts N] [--seed N]

Exits 1 when a text is neither a condition nor a fault with a column within it, when anything else is raised,
or when the time of a text is not linear in its length.
"""

import argparse
import gc
import json
import random
import sys
import time
from datetime import timedelta

from kener_async.domain.conditions import KINDS, ConditionFault, Observed, Value, parse

PIECES = (
    *KINDS,
    *("==", "!=", "<", "<=", ">", ">=", "=", "not", "exists", "contains", "like", "any(", "all(", ")", ","),
    *("length(", "$", ".a", "..", "[0]", "[-1]", "['b']", "[", "]", "'", '"', "\\", "\\u0041", "\\ud83d"),
    *("1", "-1.5", "1e5", "99999999999999999999", "30s", "500ms", "1d2h", "-", "true", "false", "null"),
    *(" ", "\t", "\n", "\0", "é", "😀", "\ud800", "*", "?", "'*a?b*'", '"text"', "json $.a", "status == 200"),
)
VALID = (
    "status == any(200, 204)",
    "json $.a[0]['b'] <= 100",
    "body not like '*error?*'",
    "records == all('a', 'b')",
    "not exists header 'X'",
    "certificate > 14d",
    "length(json $.a) != 3",
)
SECONDS_A_CHARACTER = 0.0001
SLACK = 0.05  # seconds of this thread, such as for the garbage collector


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    conditions, faults = run(arguments.texts, arguments.seed)
    print(f"{arguments.texts} texts, {conditions} conditions, {len(faults)} faults")
    print("\n".join(faults[:20]))
    return 1 if faults else 0


def run(texts: int, seed: int) -> tuple[int, list[str]]:
    """How many of the texts were conditions, and what was wrong."""
    chance = random.Random(seed)
    conditions, faults = 0, []
    gc.disable()  # a collection of what other tests have left takes half a second
    try:
        for _ in range(texts):
            text = _text(chance)
            began = time.thread_time()
            try:
                condition = parse(text)
                conditions += 1
                condition.fault(_observed(chance))
            except ConditionFault as fault:
                if not 1 <= fault.column <= len(text) + 1:
                    faults.append(f"{text!r}: column {fault.column}")
            except Exception as error:
                faults.append(f"{text!r}: {error!r}")
            if time.thread_time() - began > SLACK + SECONDS_A_CHARACTER * len(text):
                faults.append(f"{text!r}: took {time.thread_time() - began:.3f} s")
    finally:
        gc.enable()
    return conditions, faults


def _text(chance: random.Random) -> str:
    match chance.randrange(4):
        case 0:
            return chance.choice(("", " ")).join(chance.choices(PIECES, k=chance.randrange(20)))
        case 1:
            return _mutated(chance.choice(VALID), chance)
        case 2:
            return chance.choice(VALID).replace(" ", chance.choice((" ", "  ", "\n", "")))
    return "".join(chr(chance.randrange(0x250)) for _ in range(chance.randrange(60))) * chance.randrange(
        1, 30
    )


def _mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(PIECES) + text[at + chance.randrange(3) :]
    return text


def _observed(chance: random.Random) -> Observed:
    bodies = (json.dumps({"a": [{"b": chance.random()}, None, "x"]}), "<html>", "[" * 2000, "")
    values: dict[str, Value] = {
        "status": chance.randrange(600),
        "latency": timedelta(seconds=chance.random()),
        "body": chance.choice(bodies),
        "records": frozenset(chance.choices(("a", "b", "c"), k=chance.randrange(3))),
        "certificate": timedelta(days=chance.randrange(-9, 90)),
    }
    kept = {name: value for name, value in values.items() if chance.random() < 0.8}
    return Observed(kept, {"x": "1"} if chance.random() < 0.5 else {})


if __name__ == "__main__":
    sys.exit(main())
