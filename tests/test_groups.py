"""Groups and excused monitors: their settings, their minutes, and what is shown of them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kener_async.config import load as loading
from kener_async.domain.groups import GroupSettings, folded
from kener_async.domain.samples import Status

UP, DEGRADED, DOWN, MAINTENANCE, NO_DATA = Status

# Settings


def monitors(*tables: str) -> str:
    return "".join(f"[[monitors]]\n{table}\n" for table in ('tag = "a"', 'tag = "b"', *tables))


@pytest.fixture
def problems(tmp_path: Path) -> Callable[[str], list[str]]:
    def load(text: str) -> list[str]:
        file = tmp_path / "config.toml"
        file.write_text(text)
        try:
            loading.load(file, {})
        except loading.ConfigError as error:
            return [re.sub(r"^.*config\.toml(:\d+)?: ", "", line) for line in str(error).splitlines()]
        return []

    return load


def group(keys: str, more: str = "") -> str:
    return f'tag = "g"\n{more}\n[monitors.check]\n{keys}'


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (group('group = ["a", "c"]'), 'monitors["g"].check.group[number 2]: "c" is not a monitor'),
        (group('group = ["a", "a"]'), 'monitors["g"].check.group[number 2]: "a" is used twice'),
        (group("group = []"), 'monitors["g"].check.group: must not be empty'),
        (group('group = ["g"]'), 'monitors["g"].check.group: is a circle: g follows from g'),
        (
            group('group = ["a", "b"]\nmin_up = 3'),
            'monitors["g"].check.min_up: must be at most the number of members, 2, not 3',
        ),
        *(
            (
                group(f'group = ["a"]\nmin_up = {written}'),
                'monitors["g"].check.min_up: must be a number from 1 on, or a percentage from "1%" to "100%"',
            )
            for written in ("0", '"0%"', '"101%"', '"half"', "0.5", "true")
        ),
        (group('http = "https://a.example"\nmin_up = 1'), 'monitors["g"].check.min_up: needs group'),
        (
            group('group = ["a"]', 'default_status = "UP"'),
            'monitors["g"].default_status: is not used in a group, which has no reports of its own',
        ),
        (
            'tag = "g"\n[monitors.heartbeat]\ninterval = "1m"\n[monitors.check]\ngroup = ["a"]',
            'monitors["g"].heartbeat: is not used in a group, which has no reports of its own',
        ),
        (
            'tag = "g"\n[monitors.uptime_kuma]\ntoken = "abcdefghijklmnop"\n[monitors.check]\ngroup = ["a"]',
            'monitors["g"].uptime_kuma: is not used in a group, which has no reports of its own',
        ),
        ('tag = "g"\nuptime_excused = true', 'monitors["g"].uptime_excused: needs depends_on'),
    ],
)
def test_a_wrong_setting_of_a_group_is_named(problems: Callable[[str], list[str]], table: str, problem: str):
    assert problems(monitors(table)) == [problem]


def test_a_child_that_its_own_group_excuses_is_a_circle(problems: Callable[[str], list[str]]):
    child = 'tag = "c"\ndepends_on = ["g"]\nuptime_excused = true'
    text = monitors(child, group('group = ["a", "c"]'))
    assert problems(text) == ['monitors["g"].check.group: is a circle: g follows from c follows from g']
    assert problems(text.replace("uptime_excused = true", "")) == []


@pytest.mark.parametrize(("levels", "is_too_deep"), [(4, False), (5, True)])
def test_groups_are_at_most_four_deep(problems: Callable[[str], list[str]], levels: int, is_too_deep: bool):
    nested = [
        f'tag = "g{level}"\n[monitors.check]\ngroup = ["{f"g{level - 1}" if level > 1 else "a"}"]'
        for level in range(1, levels + 1)
    ]
    told = problems(monitors(*nested))
    assert told == (['monitors["g5"].check.group: is more than 4 groups deep'] if is_too_deep else [])


# The fold


@pytest.mark.parametrize(
    ("group", "members", "status"),
    [
        (GroupSettings(()), [UP, UP, UP], UP),
        (GroupSettings(()), [UP, DEGRADED, UP], DEGRADED),
        (GroupSettings(()), [UP, DOWN, UP], DOWN),
        (GroupSettings((), 50), [UP, DOWN, UP], DEGRADED),
        (GroupSettings((), 50), [UP, DOWN, DOWN], DOWN),
        (GroupSettings((), 66), [UP, UP, DOWN], DEGRADED),
        (GroupSettings((), 67), [UP, UP, DOWN], DOWN),  # 2.01 of 3 is rounded up to 3
        (GroupSettings((), 50, is_degraded=False), [UP, DOWN, UP], UP),
        (GroupSettings((), 50, is_degraded=False), [DEGRADED, DEGRADED, DEGRADED], UP),
        (GroupSettings((), 2, is_percentage=False), [UP, UP, DOWN], DEGRADED),
        (GroupSettings((), 2, is_percentage=False), [UP, DOWN, DOWN], DOWN),
        (GroupSettings((), 2, is_percentage=False), [UP, MAINTENANCE, NO_DATA], DOWN),
        (GroupSettings(()), [UP, MAINTENANCE, NO_DATA], UP),
        (GroupSettings(()), [MAINTENANCE, NO_DATA], MAINTENANCE),
        (GroupSettings(()), [NO_DATA, NO_DATA], NO_DATA),
    ],
)
def test_the_status_of_a_group_follows_from_its_members(
    group: GroupSettings, members: list[Status], status: Status
):
    steps = [[(0, member)] for member in members]
    assert list(folded(group, steps, 0, 60)) == [(0, status)]


def test_a_group_changes_with_its_members():
    one = [(0, UP), (120, DOWN), (240, UP)]
    other = [(0, UP), (120, DEGRADED), (180, NO_DATA), (600, DOWN)]
    assert list(folded(GroupSettings((), 50), [one, other], 60, 600)) == [
        (60, UP),
        (120, DEGRADED),
        (180, DOWN),
        (240, UP),
    ]
