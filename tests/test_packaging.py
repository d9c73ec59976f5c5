"""Packages are complete: the wheel, the single binary, the Debian package, the container."""

import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kener_async.config.load import load
from kener_async.ops import install
from tests.rigs.process import ROOT, a_config
from tests.soak.container import instructions
from tools import manpage, notices

PACKAGE = ROOT / "kener_async"
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
CONTAINERFILE = list(instructions((ROOT / "Containerfile").read_text()))

# Loads every module, draws the picture and speaks every language; then says what that took.
EVERYTHING = """
import json, sys
from datetime import date
from importlib import import_module
from pkgutil import walk_packages

import kener_async
for module in walk_packages(kener_async.__path__, "kener_async."):
    import_module(module.name)

from babel import localedata
from kener_async.domain.samples import Status
from kener_async.locales.locale import NAMES, locale
from kener_async.web.formats.preview import preview
preview("A title", "A sentence", "#00ff00", ["#00ff00"], Status.UP)
for tag in NAMES:
    locale(tag).day(date(2026, 1, 1))
    locale(tag).weekdays()
print(json.dumps({"modules": list(sys.modules), "locales": list(localedata._cache)}))
"""


def data_files() -> list[Path]:
    files = (file for file in PACKAGE.rglob("*") if file.is_file())
    return [file for file in files if file.suffix not in {".py", ".pyc"}]


def pins(name: str) -> set[str]:
    return set(re.findall(r"^[\w.-]+==\S+", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))


# The wheel


def test_a_wheel_holds_every_file_that_is_asked_for_as_shipped():
    source = "".join(file.read_text() for file in PACKAGE.rglob("*.py"))
    names = {name.partition("/")[0] for name in re.findall(r"""shipped\(f?['"]([\w./-]+)""", source)}
    assert names == set(WHEEL["force-include"])


def test_a_wheel_leaves_out_no_file_of_the_package():
    asked = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "kener_async"]
    ignored = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if ignored.returncode:
        pytest.skip("no repository")
    assert {Path(line).name for line in ignored.stdout.splitlines()} <= {"__pycache__"}


# The single binary


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> dict[str, Any]:
    """What tools/binary.spec says, with `asked` of PyInstaller."""
    asked: dict[str, Any] = {}

    class Analysis:
        binaries = datas = pure = scripts = ()

        def __init__(self, scripts: list[str], **options: Any) -> None:
            asked.update(options)

    given = {
        "SPECPATH": str(ROOT / "tools"),
        "workpath": str(tmp_path_factory.mktemp("binary")),
        "Analysis": Analysis,
        "PYZ": lambda _: None,
        "EXE": lambda *_, **__: None,
    }
    return runpy.run_path(str(ROOT / "tools/binary.spec"), given) | {"asked": asked}


@pytest.fixture(scope="module")
def used() -> dict[str, list[str]]:
    """The modules and locales that the whole program loads."""
    ran = subprocess.run([sys.executable, "-c", EVERYTHING], cwd=ROOT, capture_output=True, check=True)
    found: dict[str, list[str]] = json.loads(ran.stdout)
    return found


def test_the_binary_holds_every_data_file_where_the_code_looks_for_it(recipe):
    placed = {Path(folder, Path(source).name) for source, folder in recipe["asked"]["datas"]}
    assert {file.relative_to(ROOT) for file in data_files()} <= placed
    assert {Path("kener_async/schema.sql"), Path("kener_async/config.toml")} <= placed
    assert Path("kener_async/systemd/kener-async.service") in placed
    assert Path("kener_async/systemd/kener-agent.sysusers") in placed
    assert Path("kener_async/systemd/kener-async.sysusers") in placed


def test_the_binary_leaves_out_no_module_that_is_used(recipe, used):
    left_out = set(recipe["asked"]["excludes"])
    assert "PIL.ImageTk" in left_out  # the names mean something
    assert left_out.isdisjoint(used["modules"])


def test_the_binary_holds_the_data_of_every_language(recipe, used):
    assert {"root", "de", "zh_Hans_CN"} <= set(used["locales"])
    assert all(recipe["is_needed"](f"babel/locale-data/{name}.dat") for name in used["locales"])
    assert not recipe["is_needed"]("babel/locale-data/sv.dat")


def test_the_binary_is_made_of_what_is_tested():
    assert pins("run") <= pins("build")
    assert pins("run") <= pins("dev")


def test_every_work_in_the_binary_has_its_licence():
    works = list(notices.packages())
    assert len(works) > 30
    assert [work.title for work in works if not (work.licence and work.home and any(work.texts))] == []
    assert "Mozilla Public License Version 2.0" in notices.notices(works)


# The Debian package


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_the_package_names_units_that_there_are(script):
    text = (ROOT / "tools/deb" / script).read_text()
    named = set(re.findall(r"(?<!stamp-)\bkener-a[\w-]*\.(?:service|socket|timer)", text))
    assert {install.SERVICE, install.AGENT} <= named
    assert named <= {file.name for file in (ROOT / "systemd").iterdir()}


@pytest.mark.parametrize(
    "plan",
    [
        partial(install.installation, program=b"", start=True),
        partial(install.removal, purge=False),
    ],
)
def test_a_service_that_came_with_a_package_is_left_to_it(tmp_path: Path, plan: Callable[..., object]):
    places = install.Places(tmp_path)
    unit = places.packaged_unit(install.SERVICE)
    unit.parent.mkdir(parents=True)
    unit.touch()
    with pytest.raises(install.InstallError, match="installed by a package"):
        plan(places)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of a package made around this checkout instead of the binary, with their modes."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is missing")
    folder = tmp_path_factory.mktemp("deb")
    for name in ("docs", "contrib", "systemd", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("dist", "build/venv/bin"):
        (folder / name).mkdir(parents=True)
    (folder / "dist/THIRD-PARTY.txt").touch()
    (folder / "build/glibc").write_text("2.36")
    run = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} {{}} "$@"\n'
    for name, words in (("dist/kener-async", ROOT / "run.py"), ("build/venv/bin/python", "")):
        (folder / name).write_text(run.format(words))
        (folder / name).chmod(0o755)
    subprocess.run(["sh", "tools/deb.sh"], cwd=folder, check=True, capture_output=True)
    (package,) = (folder / "dist").glob("*.deb")
    listed = subprocess.run(["dpkg-deb", "-c", package], check=True, capture_output=True, text=True).stdout
    return {line.split()[5].removeprefix("."): line.split()[0] for line in listed.splitlines()}


@pytest.mark.process
def test_the_package_brings_documentation_examples_and_dashboard(contents: dict[str, str]):
    documents = "/usr/share/doc/kener-async"
    for name in ("README.md", "docs/operate.md", "docs/grafana-dashboard.json", "docs/prometheus-alerts.yml"):
        assert contents[f"{documents}/{name}"] == "-rw-r--r--"
    assert contents[f"{documents}/contrib/heartbeat.sh"] == "-rwxr-xr-x"
    assert f"{documents}/contrib/esp32/main.py" in contents
    assert f"{documents}/systemd/README.md" in contents
    assert not [name for name in contents if "__pycache__" in name]


@pytest.mark.process
def test_the_package_makes_the_group_that_may_read_the_configuration(contents: dict[str, str]):
    assert "/usr/lib/sysusers.d/kener-async.conf" in contents
    script = (ROOT / "tools/deb/postinst").read_text()
    assert script.index("systemd-sysusers kener-async.conf") < script.index("chgrp kener-config")
    assert "chmod 640" in script


def test_the_manual_page_tells_of_every_option():
    text = "\n".join(manpage.page())
    assert ".SS token create" in text
    assert ".B \\-\\-expires" in text


# The container


def test_the_container_is_made_of_files_that_there_are():
    copied = [words.split() for name, words in CONTAINERFILE if name == "COPY" and "--from" not in words]
    missing = [name for *names, _ in copied for name in names if not (ROOT / name).exists()]
    assert copied
    assert missing == []


def test_the_container_has_what_the_package_asks_for_beside_itself():
    copied = {name for word, words in CONTAINERFILE if word == "COPY" for name in words.split()}
    assert set(WHEEL["force-include"]) <= copied


def test_the_settings_of_the_container_are_settings(tmp_path):
    given = dict(words.split("=", 1) for name, words in CONTAINERFILE if name == "ENV")
    (tmp_path / "config.toml").write_text(a_config())
    config = load(tmp_path / "config.toml", given)
    assert str(config.database.path) == given["KENER_DATABASE_PATH"]
    assert config.server.host == given["KENER_SERVER_HOST"]


def test_the_container_keeps_its_data_in_its_volume_and_is_not_root():
    said = dict(CONTAINERFILE)
    given = dict(words.split("=", 1) for name, words in CONTAINERFILE if name == "ENV")
    assert Path(given["KENER_DATABASE_PATH"]).parent == Path(said["VOLUME"])
    assert said["USER"] not in {"0", "0:0", "root"}
