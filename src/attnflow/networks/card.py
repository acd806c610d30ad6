"""The model card of a folder: its licence, and a name for people."""

from __future__ import annotations

import re
from pathlib import Path

GENERIC = re.compile(r"model|checkpoint.*|snapshot.*|weights|hf|[0-9a-f]{40}|\.*", re.IGNORECASE)
"""Names of folders that tell nothing of what lies in them."""


def licence_of(folder: Path) -> str | None:
    """The licence that the front matter of the README in `folder` states, or None."""
    matter = re.match(r"---\s*\n(.*?)\n---", _card(folder), re.DOTALL)
    stated = re.search(r"^license:[ \t]*(\S.*)$", matter[1], re.MULTILINE) if matter else None
    return stated[1].strip().strip("'\"") if stated else None


def name_of(folder: Path) -> str:
    """The name of `folder`; where it is a word like "model", the title of the README in it, or its parent's name."""
    folder = folder.resolve()
    hub = re.fullmatch(r"models--.+--(.+)", folder.parent.parent.name)
    if hub:
        return hub[1]
    if not GENERIC.fullmatch(folder.name):
        return folder.name
    title = re.search(r"^# (\S{1,60})\s*$", _card(folder), re.MULTILINE)
    return title[1] if title else f"{folder.parent.name}/{folder.name}"


def _card(folder: Path) -> str:
    path = folder / "README.md"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
