"""The last lines of a docstring say where a claim comes from, in one grammar:

Source: :cite:key, place.                 with a key of docs/references.bib
Source: this package, docs/page.md.       optionally followed by a place: docs/page.md, section 2.
Observed: tests/folder/test_file.py.

Several sources on one line are separated by a semicolon and a space.
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIB_KEYS = frozenset(re.findall(r"^@\w+\{([^,\s]+),", (ROOT / "docs" / "references.bib").read_text(), re.MULTILINE))
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

STATEMENT = re.compile(r"^(Source|Observed):", re.MULTILINE)
CITED = re.compile(r":cite:(?P<key>[a-z]+[0-9]{4}[a-z]?), \S.*")
OURS = re.compile(r"this package, (?P<file>docs/[\w./-]+\.md)(, \S.*)?")
MEASURED = re.compile(r"(?P<file>tests/[\w./-]+?)(::\w+)?")


def split_statements(docstring: str) -> list[str]:
    """The statements of a docstring, wrapped lines joined: everything from the first `Source:` or `Observed:` on."""
    starts = [match.start() for match in STATEMENT.finditer(docstring)]
    return [" ".join(docstring[start:end].split()) for start, end in pairwise([*starts, len(docstring)])]


def fault_of(statement: str) -> str | None:
    """What is wrong with a statement, or None."""
    kind, _, claim = statement.partition(": ")
    if not claim.endswith("."):
        return "must end its docstring, with a full stop"
    faults = (fault_of_claim(kind, part) for part in re.split(r"; (?=:cite:|this package|tests/)", claim[:-1]))
    return next((fault for fault in faults if fault), None)


def fault_of_claim(kind: str, claim: str) -> str | None:
    if kind == "Source" and (match := CITED.fullmatch(claim)):
        return None if match["key"] in BIB_KEYS else f"{match['key']} does not stand in docs/references.bib"
    match = OURS.fullmatch(claim) if kind == "Source" else MEASURED.fullmatch(claim)
    if match is None:
        return "does not follow the grammar"
    return None if (ROOT / match["file"]).exists() else f"{match['file']} does not exist"


def docstrings() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


def test_every_source_follows_the_grammar_and_exists():
    faults = [
        f"{place}: {statement!r} {fault}"
        for place, text in docstrings()
        for statement in split_statements(text)
        if (fault := fault_of(statement))
    ]
    assert not faults, "\n".join(faults)


def test_every_cite_stands_in_a_source_line():
    stray = [
        place for place, text in docstrings() if ":cite:" in text and ":cite:" not in " ".join(split_statements(text))
    ]
    assert not stray


@pytest.mark.parametrize(
    "statement",
    [
        "Source: :cite:alcalde2026, eq. (2.6).",
        "Source: :cite:alcalde2026, Thm. 4.1; :cite:hairer1993, section II.5.",
        "Source: this package, docs/design.md.",
        "Observed: tests/architecture/test_citations.py.",
    ],
)
def test_the_grammar_accepts(statement: str):
    assert fault_of(statement) is None


@pytest.mark.parametrize(
    "statement",
    [
        "Source: :cite:nobody1999, eq. (1).",
        "Source: :cite:alcalde2026.",
        "Source: :cite:alcalde2026, eq. (2.6)",
        "Source: the literature.",
        "Source: this package, docs/nowhere.md.",
        "Observed: somewhere.",
        "Source: :cite:alcalde2026, eq. (2.6). Returns: a number",
    ],
)
def test_the_grammar_refuses(statement: str):
    assert fault_of(statement) is not None
