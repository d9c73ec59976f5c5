"""Count the samples in a database that came from load.lua, by the store of any checkout.

    python -m benchmarks.stored kener.db FIRST LAST

Prints an object: for each monitor that has any the number of its minutes in `[FIRST, LAST)`. Latencies of the
load are at least one second, those of histories less.
"""

import json
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from benchmarks.servers import run_with
from kener_async.domain.calendar import DAY
from kener_async.store import samples
from kener_async.store.sqlite import connections

AT_ONCE = 100  # monitors, for a day


def minutes_of(database: Path, tree: Path, first: int, last: int) -> dict[int, int]:
    """The numbers of minutes by monitor."""
    text = run_with(tree, "benchmarks.stored", str(database), str(first), str(last))
    return {int(monitor): count for monitor, count in json.loads(text).items()}


def main() -> None:
    path, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    counts: Counter[int] = Counter()
    with closing(connections.connect(path, read_only=True)) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM monitors ORDER BY id")]
        for begin in range(first, last, DAY):
            for number in range(0, len(ids), AT_ONCE):
                some = ids[number : number + AT_ONCE]
                for monitor, found in samples.spans(connection, some, begin, min(begin + DAY, last)).items():
                    counts[monitor] += sum(sample.latency >= 1 for sample in found.values())
    print(json.dumps({monitor: count for monitor, count in counts.items() if count}))


if __name__ == "__main__":
    main()
