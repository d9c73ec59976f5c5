"""The layout of the code: which way imports point, what each package may use, and what is shipped."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from kener_async.resources import shipped

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kener_async"


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Each module of the package: its path below the package, and its syntax tree."""
    for file in sorted(PACKAGE.rglob("*.py")):
        yield str(file.relative_to(PACKAGE)), ast.parse(file.read_text())


def test_imports_point_one_way():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_every_module_is_in_a_package_but_those_that_all_packages_use():
    top = {"__init__", "__main__", "app", "clock", "errors", "keys", "log", "metrics", "resources"}
    assert {file.stem for file in PACKAGE.glob("*.py")} == top


def test_no_two_classes_have_the_same_name():
    places = defaultdict(list)
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_private_attributes_of_a_library_are_used_in_one_module():
    """An attribute with a leading underscore that its module does not define belongs to a library."""
    documented = {"_asdict", "_replace", "_exit"}  # of named tuples and os
    uses = {}
    for path, tree in modules():
        nodes = list(ast.walk(tree))
        attributes = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr.startswith("_")]
        defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        defined |= {
            node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        defined |= {node.attr for node in attributes if is_set_on_self(node)}
        used = {node.attr for node in attributes if not node.attr.startswith("__")}
        if foreign := used - defined - documented:
            uses[path] = foreign
    one_each = {
        "aiohttp's server": "api/http/aiohttp_private.py",
        "aiohttp's client": "probes/connector.py",
        "aiosqlite": "store/sqlite/connections.py",
        "marshmallow": "api/http/compiled_loader.py",
    }
    assert set(uses) == set(one_each.values()), uses


def is_set_on_self(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"


def test_sqlite3_is_imported_by_the_store_and_the_agents_spool_only():
    importers = {
        path
        for path, tree in modules()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(name.name.startswith("sqlite3") for name in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlite3"))
    }
    assert {path for path in importers if not path.startswith("store/")} == {"agent/spool.py"}


def test_sql_is_written_in_the_store_and_for_the_agents_spool_only():
    words = re.compile(r"SELECT |INSERT INTO|UPDATE [a-z_]+\s+SET|DELETE FROM")
    for file in PACKAGE.rglob("*.py"):
        if "store" not in file.parts and file.name != "spool.py":
            assert words.search(file.read_text()) is None, file


def test_the_schema_and_the_configuration_are_found_beside_the_package():
    assert "CREATE TABLE samples" in shipped("schema.sql")
    assert "[server]" in shipped("config.toml")
