"""Print the manual page, made from the help of the commands: `python -m tools.manpage`."""

from collections.abc import Iterator

import click

from kener_async import __version__
from kener_async.cli.main import main

SIGNALS = (
    ("SIGTERM, SIGINT", "Answer what is under way, close the database, end."),
    ("SIGHUP", "Read the configuration again."),
)
FILES = (
    ("./config.toml", "Every setting; another file with --config or in KENER_CONFIG."),
    ("/etc/kener-async/config.toml", "The same, of the installed service."),
    ("/var/lib/kener-async", "The data of the installed service."),
)
STATUS = (("0", "Success."), ("1", "An error, described in one line."), ("2", "Wrong usage."))


def page() -> Iterator[str]:
    """The lines of kener-async.1."""
    yield f'.TH KENER\\-ASYNC 1 "" "kener-async {__version__}"'
    purpose = _text(main.help).rstrip(".")
    yield from (".SH NAME", f"kener\\-async \\- {purpose[0].lower()}{purpose[1:]}")
    yield from (".SH SYNOPSIS", ".B kener\\-async", "[\\-\\-config FILE] [COMMAND] [OPTIONS]")
    yield ".SH COMMANDS"
    yield from _commands(main, "")
    for title, terms in (("SIGNALS", SIGNALS), ("FILES", FILES), ("EXIT STATUS", STATUS)):
        yield f".SH {title}"
        yield from (line for term, words in terms for line in _term(term, words))


def _commands(group: click.Group, within: str) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, f"{within}{name} ")
            continue
        arguments = [one.make_metavar(click.Context(command)) for one in command.params if _is_argument(one)]
        yield f".SS {_text(' '.join([f'{within}{name}', *arguments]))}"
        yield _text(command.help)
        for option in command.params:
            if isinstance(option, click.Option):
                yield from _term(", ".join(option.opts), option.help or "")


def _is_argument(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Argument)


def _term(term: str, words: str) -> Iterator[str]:
    yield from (".TP", f".B {_text(term)}", _text(words) or "\\&")


def _text(words: str | None) -> str:
    """On one line, which begins with no dot, dashes as dashes."""
    line = " ".join((words or "").split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line


if __name__ == "__main__":
    print("\n".join(page()))
