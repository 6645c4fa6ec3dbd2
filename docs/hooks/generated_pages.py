"""What the documentation's pages are made of beside those that are written: the commands and the docstrings."""

import re
import shutil
import textwrap
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from robot_mbrl.cli.reference import reference

PACKAGE: Final = Path("robot_mbrl")
SOURCE: Final = Path("build/docs-source")
"""Where a copy of the package without links is made: the docstrings' reader does not follow those to folders."""
PARTS: Final = (
    "contracts", "drivers", "sim", "policies", "safety", "commissioning", "data", "learning", "runtime",
)  # fmt: skip
DRAWN: Final = re.compile(r"^(=+(?: =+)+)\n(?:.+\n)+?\1(?:\n(?:.+\n)+?\1)?$|^\w.*\n(?:[├│└].*\n)+", re.MULTILINE)
"""A table or a tree that is drawn with characters; Markdown takes it for running text unless it is indented."""
FOREIGN: Final = re.compile(r"<(?:script|img|iframe)[^>]*\ssrc=\"(?:https?:)?//|<link[^>]*\shref=\"(?:https?:)?//")
"""What a browser would fetch from somewhere else."""


def on_config(config: MkDocsConfig) -> None:
    """Copy the package to where the docstrings are read from."""
    root = Path(config.config_file_path).parent
    shutil.rmtree(root / SOURCE, ignore_errors=True)
    shutil.copytree(root / PACKAGE, root / SOURCE / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (root / SOURCE).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(DRAWN.sub(lambda drawn: textwrap.indent(drawn[0], "    "), text), encoding="utf-8")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that nobody writes."""
    files.append(File.generated(config, "commands.md", content=reference()))
    for part in PARTS:
        folder = Path(config.config_file_path).parent / SOURCE / PACKAGE / part
        files.append(File.generated(config, f"program/{part}.md", content=_page(folder)))


def on_post_page(output: str, page: Page, **_: object) -> None:
    """Refuse a page for which a browser would ask another server."""
    found = FOREIGN.search(output)
    if found is not None:
        raise PluginError(f"{page.file.src_uri}: loads something from elsewhere: {found.group()}")


def _page(folder: Path) -> str:
    """All modules of one part of the program, by their docstrings."""
    files = (path.relative_to(folder).with_suffix("") for path in sorted(folder.rglob("*.py")))
    part = f"{PACKAGE}.{folder.name}"
    modules = [".".join((part, *file.parts)).removesuffix(".__init__") for file in files]
    return "\n\n".join([f"# {part}", *(f"::: {module}" for module in modules)])
