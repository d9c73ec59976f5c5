"""The scenes of the demo at the hours that matter, each with its 90 days of history.

    python -m pytest -p no:xdist tests/soak/scenes.py

`make test` checks two of them (tests/test_demo.py).
"""

from pathlib import Path

import pytest

from tests.test_demo import check_scene


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "hour", "sentence", "ongoing"),
    [
        ("busy", 18, "Degraded performance", 1),
        ("calm", 0, "All systems operational", 0),
        ("calm", 2.7, "All systems operational", 0),  # when the backup is due
        ("calm", 3.1, "All systems operational", 0),
        ("maintenance", 9, "Maintenance under way", 1),
    ],
)
async def test_a_scene_shows_what_its_name_says(
    tmp_path: Path, name: str, hour: float, sentence: str, ongoing: int
):
    await check_scene(tmp_path, name, hour, sentence, ongoing)
