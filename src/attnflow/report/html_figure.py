"""A figure inside a page, as a drawing that stays sharp at any size."""

from __future__ import annotations

import base64
import io

import matplotlib as mpl
from matplotlib.figure import Figure

from .html_text import escaped

SALT = "attnflow"
"""Names inside the drawing come from this and not from chance, so that equal figures give equal bytes."""


def figure_html(figure: Figure, *, words: str) -> str:
    """`figure` as an HTML image that needs no other file; `words` say what it shows to who does not see it."""
    code = base64.b64encode(svg_bytes(figure)).decode("ascii")
    return f'<figure><img alt="{escaped(words)}" src="data:image/svg+xml;base64,{code}"></figure>'


def svg_bytes(figure: Figure) -> bytes:
    """`figure` as SVG without a date, with its letters as outlines."""
    drawing = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": SALT, "svg.fonttype": "path"}):
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    return drawing.getvalue()
