"""The README and the written pages of the documentation: the command lines and the Python in them."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "README.md"
PAGES: Final = (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_SHELL: Final = re.compile(r"^( *)```sh\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_PYTHON: Final = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`(robot-mbrl[^`]*)`")


def commands(page: Path) -> list[str]:
    """All lines of all shell blocks."""
    return [line.strip() for block in _SHELL.finditer(_text(page)) for line in block[2].splitlines()]


def python_blocks(page: Path) -> list[str]:
    """All Python blocks."""
    return _PYTHON.findall(_text(page))


def inline_commands(page: Path) -> list[str]:
    """What stands between backticks in the text and begins with the program's name."""
    return [" ".join(command.split()) for command in _INLINE.findall(_SHELL.sub("", _text(page)))]


def rows(page: Path, heading: str) -> list[list[str]]:
    """Cells of the first table after the line `heading`, without its head."""
    table = _text(page).partition(f"{heading}\n")[2].partition("\n|")[2].partition("\n\n")[0]
    lines = [f"|{line}" if index == 0 else line for index, line in enumerate(table.splitlines())]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def block_after(page: Path, sentence: str) -> list[str]:
    """Lines of the first text block after `sentence`."""
    return _text(page).partition(sentence)[2].partition("```text\n")[2].partition("\n```")[0].splitlines()


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")
