"""A page of tables and pictures in one file."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from ..fileio import write_file
from .style import figure_to_image

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 62em; padding: 0 1em;
  color: #222; background: #fff; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; } td, th { padding: .2em 1em .2em 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid #e5e5e5; }
img { max-width: 100%; }
pre { background: #f6f6f6; padding: 1em; overflow-x: auto; font-size: 13px; }
"""


def picture(figure: Figure) -> str:
    """A figure as an element of a page."""
    file = io.BytesIO()
    Image.fromarray(figure_to_image(figure)).save(file, 'webp', quality=85)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="" src="data:image/webp;base64,{data}">'


def table(rows: Mapping[str, object] | Sequence[Sequence[object]]) -> str:
    """Names and values, or rows whose first one is the head."""
    if isinstance(rows, Mapping):
        lines = [
            f'<tr><th>{escape(str(key))}</th><td>{escape(_text(value))}</td></tr>'
            for key, value in rows.items()
        ]
    else:
        lines = []
        for i, row in enumerate(rows):
            tag = 'td' if i else 'th'
            cells = ''.join(f'<{tag}>{escape(_text(value))}</{tag}>' for value in row)
            lines.append(f'<tr>{cells}</tr>')
    return '<table>' + '\n'.join(lines) + '</table>'


def listing(title: str, text: str) -> str:
    """A long text that opens with a click."""
    return f'<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>'


def _text(value: object) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def write_page(path: str | Path, title: str, sections: Mapping[str, str]) -> None:
    """Write a page that needs no other file.

    Args:
        path (str | Path): File to write
        title (str): Title
        sections (Mapping[str, str]): HTML by heading, empty ones are left out
    """
    body = [
        f'<h2>{escape(heading)}</h2>\n{content}' for heading, content in sections.items() if content
    ]
    lines = [
        '<!doctype html>',
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{escape(title)}</title><style>{_STYLE}</style></head><body>',
        f'<h1>{escape(title)}</h1>',
        *body,
        '</body></html>',
    ]
    with write_file(path) as file:
        file.write_text('\n'.join(lines), encoding='utf-8')
