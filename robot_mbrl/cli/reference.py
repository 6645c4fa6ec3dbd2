"""The command reference in Markdown, made from the commands themselves, so that no option of it is typed in twice."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from robot_mbrl.cli.main import COMMANDS, PROGRAM, build

_HEAD: Final = f"""# Commands

Made from the program's own help, which `{PROGRAM} COMMAND --help` prints. What each exit code means stands in
[Exit codes](exit-codes.md).
"""
_UNWRAPPED: Final = "\b"
"""Marks a paragraph of a help text whose lines stay as they are."""


class Leaf(NamedTuple):
    """A command that runs something.

    Attributes:
        path: its words after the program's name, such as `calibrate`, `joints`.
        command: what parses its options.
    """

    path: tuple[str, ...]
    command: TyperCommand

    @property
    def name(self) -> str:
        """As it is typed."""
        return " ".join((PROGRAM, *self.path))

    @property
    def examples(self) -> list[str]:
        """The command lines that its help shows."""
        lines = [line.strip() for line in (self.command.epilog or "").splitlines()]
        return [line for line in lines if line.startswith(PROGRAM)]


def leaves() -> Iterator[Leaf]:
    """All commands, in the order of the program's help. Imports the modules of all of them."""
    for name in COMMANDS:
        command = get_group(build(name)).commands[name]
        if isinstance(command, TyperGroup):
            inner = ((part, command.commands[part]) for part in command.commands)
            yield from (Leaf((name, part), leaf) for part, leaf in inner if isinstance(leaf, TyperCommand))
        elif isinstance(command, TyperCommand):
            yield Leaf((name,), command)


def reference() -> str:
    """The page."""
    return "\n".join([_HEAD, *(_section(leaf) for leaf in leaves())])


def _section(leaf: Leaf) -> str:
    context = typer.Context(leaf.command, info_name=leaf.name)
    usage = " ".join([leaf.name, *leaf.command.collect_usage_pieces(context)])
    records = [parameter.get_help_record(context) for parameter in leaf.command.get_params(context)]
    rows = [f"- `{name}`: {text}" for name, text in filter(None, records)]
    told = (leaf.command.help or "").replace(_UNWRAPPED, "")
    parts = [f"## {leaf.name}", told, _block("text", [usage]), "\n".join(rows), _block("sh", leaf.examples)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _block(language: str, lines: list[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"]) if lines else ""
