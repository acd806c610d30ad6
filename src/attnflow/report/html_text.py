"""Pieces of a page: tables, lists, folded sections. Whatever comes from outside goes through `escaped`."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Mapping, Sequence

BROKEN = frozenset({"Cc", "Cs"})
"""Control characters and halves of surrogate pairs, which no page can hold."""

SHOWN = 240
"""A passage is cut after so many letters."""


def escaped(text: str) -> str:
    """`text` as HTML shows it, letter by letter; control characters and broken surrogates become U+FFFD."""
    seen = "".join("\ufffd" if unicodedata.category(c) in BROKEN and c not in "\n\t" else c for c in text)
    return html.escape(seen, quote=True)


def passage(text: str) -> str:
    """`text` on one line, cut after SHOWN letters, escaped; its direction of writing is its own."""
    line = " ".join(text.split())
    cut = line if len(line) <= SHOWN else line[: SHOWN - 1].rstrip() + "…"
    return f'<bdi dir="auto">{escaped(cut)}</bdi>'


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str, words: frozenset[str] = frozenset(),
    raw: frozenset[str] = frozenset(),
) -> str:  # fmt: skip
    """A table with `headers`, `rows` and a `caption`; a wide one scrolls by itself.

    Columns whose header is in `words` hold text and may break, all others numbers, aligned to the right. Columns in
    `raw` hold HTML already; all other cells are escaped.
    """
    head = "".join(f'<th scope="col"{_kind(name, words)}>{escaped(name)}</th>' for name in headers)
    lines = []
    for row in rows:
        cells = [
            f"<td{_kind(name, words)}>{cell if name in raw else escaped(cell)}</td>"
            for name, cell in zip(headers, row, strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(lines)
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escaped(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def facts(pairs: Mapping[str, str]) -> str:
    """Names and what is known of them, as a list of definitions."""
    rows = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>\n" for name, value in pairs.items())
    return f"<dl>\n{rows}</dl>"


def bullets(lines: Sequence[str], *, kind: str = "") -> str:
    """The `lines` as a list of the CSS class `kind`; nothing without lines."""
    if not lines:
        return ""
    items = "\n".join(f"<li>{escaped(line)}</li>" for line in lines)
    return f'<ul class="{kind}">\n{items}\n</ul>' if kind else f"<ul>\n{items}\n</ul>"


def section(title: str, *parts: str) -> str:
    """A section with a heading; nothing when all `parts` are empty."""
    body = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{escaped(title)}</h2>\n{body}\n</section>" if body else ""


def folded(title: str, *parts: str) -> str:
    """A section that opens at a click, and stands open on paper; nothing when all `parts` are empty."""
    body = "\n".join(part for part in parts if part)
    return f"<details>\n<summary><h2>{escaped(title)}</h2></summary>\n{body}\n</details>" if body else ""


def paragraph(text: str) -> str:
    """`text` as a paragraph."""
    return f"<p>{escaped(text)}</p>"


def document(title: str, style: str, body: str) -> str:
    """A whole page in English that asks for nothing from outside: its policy forbids everything but its own images."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _kind(name: str, words: frozenset[str]) -> str:
    return ' class="words"' if name in words else ""
