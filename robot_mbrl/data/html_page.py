"""A web page of one file: tables, and pictures within it, nothing to load from anywhere."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from robot_mbrl.contracts.errors import ConfigError

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #333; max-width: 1240px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; } td, th { text-align: left; padding: 0.25em 1.2em 0.25em 0; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid #d9d9d9; } td { border-bottom: 1px solid #f0f0f0; }
img { max-width: 100%; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The page of `parts`, HTML each, below its title."""
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    body = "".join([heading(title, 1), *parts])
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'


def heading(text: str, level: int = 2) -> str:
    """A heading of `level` 1 or 2."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{html.escape(text)}</p>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, without a head where `heads` is empty."""
    lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{line}</tr>" for line in ([head, *lines] if heads else lines))
    return f"<table>{body}</table>"


def image(figure: Figure, description: str) -> str:
    """A picture as PNG within the page."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return picture(data.getvalue(), description)


def picture(png: bytes, description: str) -> str:
    """A picture that is a PNG already, within the page."""
    encoded = base64.b64encode(png).decode()
    return f'<p><img alt="{html.escape(description)}" src="data:image/png;base64,{encoded}"></p>'


def save(path: Path, text: str) -> None:
    """Write a page to `path`.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: give a path that can be written") from error
