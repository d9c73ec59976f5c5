"""Print the licences of everything in the single binary: `python tools/notices.py LIBRARIES`.

LIBRARIES is a file with the names of the shared libraries inside, one a line, written by tools/binary.spec.
Run it with the Python that the binary is built from; distribute the output with the binary.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "kener_async" / "web" / "static"
LICENCE = re.compile(r"licen[cs]e|copying|notice", re.IGNORECASE)
SOURCE = re.compile(r"(source|source code|code|repository|homepage|github|github: repo), (.*)", re.IGNORECASE)
HEAD = """\
kener-async is under the MIT License. The single binary also holds the works below, unchanged, each under its
own licence; the texts of the licences follow the list. The source code of each is at the address beside it,
that of orjson, which is under the Mozilla Public License 2.0, among them.
"""


@dataclass(frozen=True)
class Work:
    title: str
    licence: str
    home: str
    texts: Sequence[str]


def packages() -> Iterator[Work]:
    """What the program runs on, and PyInstaller, whose loader is the beginning of the file."""
    pinned = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    for name in (*re.findall(r"^([\w.-]+)==", pinned, re.MULTILINE), "pyinstaller"):
        try:
            yield _package(distribution(name))
        except PackageNotFoundError:
            continue  # it is for another system


def _package(found: Distribution) -> Work:
    about, name = found.metadata, found.metadata["Name"]
    classified = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier", []) if "License ::" in one]
    licences = [*about.get_all("License-Expression", []), *about.get_all("License", []), *classified]
    sources = [match[2] for one in about.get_all("Project-URL", []) if (match := SOURCE.fullmatch(one))]
    addresses = [*sources, *about.get_all("Home-page", [])]
    files = [file for file in found.files or () if ".dist-info" in str(file) and LICENCE.search(file.name)]
    return Work(
        f"{name} {found.version}",
        " ".join(licences[0].split()),
        next(iter(addresses), ""),
        [file.read_text(encoding="utf-8") for file in files],
    )


def debian(paths: Sequence[str]) -> Iterator[Work]:
    """Python, and the libraries of the system that came along."""
    for name in sorted({owner for path in paths if (owner := _owner(path))}):
        about = _said("dpkg-query", "-W", "-f", "${source:Package} ${source:Version}", name)
        source, version = about.split()
        text = Path("/usr/share/doc", name.partition(":")[0], "copyright").read_text(encoding="utf-8")
        yield Work(f"{name} {version}", "see its text", f"https://tracker.debian.org/pkg/{source}", [text])


def _owner(path: str) -> str:
    """The Debian package of a file, else nothing. Some are on record in /lib, which is /usr/lib by now."""
    spellings = {path, str(Path(path).resolve()), path.removeprefix("/usr")}
    owners = [_said("dpkg-query", "-S", spelling) for spelling in spellings]
    return next((owner.partition(": ")[0] for owner in owners if owner), "")


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603


def in_our_tree() -> Iterator[Work]:
    """The works that the pages and the API documentation send to browsers."""
    swagger = STATIC / "swagger-ui"
    yield Work(
        "Swagger UI",
        "Apache-2.0",
        "https://github.com/swagger-api/swagger-ui",
        [file.read_text(encoding="utf-8") for file in sorted(swagger.iterdir()) if LICENCE.search(file.name)],
    )
    yield Work(
        "Lucide",
        "ISC",
        "https://lucide.dev",
        [(STATIC / "icons.LICENSE").read_text(encoding="utf-8")],
    )


def notices(works: Sequence[Work]) -> str:
    """The list, then each text, once."""
    lines = [f"{work.title:32}  {work.licence[:60]:60}  {work.home}" for work in works]
    bearers: dict[str, list[str]] = {}
    for work in works:
        for text in work.texts:
            bearers.setdefault(text.strip(), []).append(work.title)
    parts = [f"{'=' * 100}\n{', '.join(titles)}\n{'=' * 100}\n\n{text}" for text, titles in bearers.items()]
    return "\n\n".join([HEAD, "\n".join(lines), *parts])


if __name__ == "__main__":
    inside = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    print(notices([*packages(), *debian(inside), *in_our_tree()]))
