"""Writing: data to stdout, words to stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp")
"""The endings of pictures."""

PLAIN_WIDTH = 10_000
"""Without a terminal a row is a line, however long."""


def require_suffix(option: str, path: Path, known: tuple[str, ...]) -> None:
    """Raise BadInput unless the file that `option` names, `path`, has one of the `known` endings."""
    from .._check import BadInput  # loads NumPy and JAX: only when there is something to say

    if path.suffix.lower() not in known:
        raise BadInput(f"`{option}` must end in {' or '.join(known)}: {str(path)!r} was found; change the ending.")


def emit(text: str) -> None:
    """Write `text` to stdout. A reader that has gone (`| head`) is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def emit_json(data: Any) -> None:
    """Write `data` to stdout as JSON; numbers keep all their digits."""
    emit(json.dumps(data, allow_nan=False) + "\n")


def say(text: str) -> None:
    """Write a line to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def emit_tables(*tables: Table) -> None:
    """Write Rich tables to stdout, a blank line between them; colours on a terminal only."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    text = io.StringIO()
    console = Console(
        file=text, force_terminal=terminal, highlight=False, width=None if terminal else PLAIN_WIDTH, soft_wrap=False
    )
    for i, table in enumerate(tables):
        if i:
            console.print()
        console.print(table)
    emit("\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")


def facts(rows: dict[str, str]) -> Table:
    """A table of names and what is known of them."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def columns(*headers: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table with these headers; those in `right` are aligned to the right."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        table.add_column(header, justify="right" if header in right else "left", overflow="fold")
    return table
