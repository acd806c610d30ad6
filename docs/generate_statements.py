"""Writes docs/theory/statements.md: statement -> proof -> functions -> tests, read off docstrings.

Functions are found by the places in their `Source:` lines, tests by the first paragraph of the docstrings in
tests/theorems and by their file names. Run it from anywhere: python docs/generate_statements.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "theory" / "statements.md"

#: The paper's statements in its order: key, what it is about, where the proof or the correction stands.
PAPER = (
    ("eq. (2.3)", "the velocity field", "kinds.md"),
    ("eq. (2.5)", "attention at a Gaussian is affine", "kinds.md#1-softmax"),
    ("eq. (2.6)", "the equations of mean and covariance", "kinds.md#1-softmax"),
    ("Prop. 2.1", "Gaussians stay Gaussian", "kinds.md#1-softmax"),
    ("Lemma 2.2", "tails stay sub-Gaussian for a short time", "departure.md"),
    ("Prop. 2.3", "ReLU layers for short times", "departure.md"),
    ("Lemma 3.1", "the rank is conserved", "reachability.md#lemma-31"),
    ("Thm. 3.2", "reachability of Gaussians of equal rank", "reachability.md#theorem-32"),
    ("Table 1", "the long run by signs", "errata.md"),
    ("Thm. 4.1", "V = eta I: the limit of the covariance", "long-run.md#theorem-a"),
    ("Rem. 4.2", "A = 0", "long-run.md#theorem-a"),
    ("Lemma 4.3", "the spectrum of M at an equilibrium", "equilibria.md#structure"),
    ("Rem. 4.4", "M only oscillates", "equilibria.md#structure"),
    ("eq. (4.7)", "the algebraic Bernoulli equation", "equilibria.md"),
    ("Thm. 4.5", "V < 0 < B", "definite.md#theorem-d"),
    ("eq. (A.12)", "the trace inequality in the proof of Thm. 4.5", "definite.md#theorem-d"),
    ("Thm. 4.6", "V > 0, B > 0", "definite.md#theorem-e"),
    ("eq. (4.9)", "the bound of the blow-up time", "definite.md#theorem-e"),
    ("Rem. 4.7", "only the common sign of V and B matters", "definite.md#theorem-d"),
    ("Thm. 4.8", "the limit of the mean", "long-run.md#theorem-c"),
    ("Rem. 4.9", "no bias", "long-run.md#theorem-c"),
    ("Rem. 4.10", "the mean for definite V", "long-run.md#theorem-c"),
    ("Fig. 1", "the three regimes of A", "long-run.md#theorem-a"),
)
#: The corrected and further statements of these pages.
OURS = (
    ("Theorem A", "V = eta I, S <= 0: boundedness, limits, rates, singular starts", "long-run.md#theorem-a"),
    ("Theorem B", "V = eta I: the closed form", "closed-form.md"),
    ("Theorem C", "the mean, and its limits", "long-run.md#theorem-c"),
    ("Theorem D", "V < 0 < B", "definite.md#theorem-d"),
    ("Theorem E", "V > 0, B > 0: bounds of the blow-up time", "definite.md#theorem-e"),
    ("Small starts", "a Hurwitz A contracts a ball to zero", "definite.md#small-starts"),
    ("Global existence", "signs that exclude blow-up", "definite.md#global-existence"),
    ("Equilibria", "structure, complete lists, certificates", "equilibria.md"),
    ("The direct rotation", "the smallest rotation between two ranges", "reachability.md#the-direct-rotation"),
    ("The default plan", "a rotation and a stretch at constant speed", "reachability.md#the-default-plan"),
    ("Constant controls", "equal ranks suffice for parameters constant in depth", "reachability.md#constant-controls"),
    ("McCann's plan", "the least kinetic energy", "reachability.md"),
    ("The least control", "what no plan can undercut", "reachability.md#the-least-control"),
    ("Numerical evidence", "where no theorem decides", "long-run.md#numerical-evidence"),
)
WORDS = {
    **dict.fromkeys(("Theorem", "Thm"), "Thm."),
    **dict.fromkeys(("Proposition", "Prop"), "Prop."),
    **dict.fromkeys(("Remark", "Remarks", "Rem"), "Rem."),
    **dict.fromkeys(("Inequality", "eq"), "eq."),
    "Lemma": "Lemma",
    "Table": "Table",
    "Fig": "Fig.",
}
NUMBER = r"\(?[A-Z]?\.?\d+(?:\.\d+)?\)?"
PLACE = re.compile(rf"\b({'|'.join(WORDS)})\.? ({NUMBER}(?:(?:,| and|, and) {NUMBER})*)")
NAMED = re.compile("|".join(key for key, *_ in OURS))
IN_A_FILE_NAME = re.compile(
    r"(thm|lemma|prop|remark|table)(\d+(?:_\d+)*)|theorem([A-E])|(small_starts|global_existence)"
)


def places(text: str) -> set[str]:
    """The statements that a text names, by their keys."""
    found = {match[0] for match in NAMED.finditer(text)}
    for word, numbers in PLACE.findall(text):
        for number in re.findall(NUMBER, numbers):
            found.add(_key(WORDS[word], number.strip("()")))
    return found


def _key(word: str, number: str) -> str:
    return f"{word} ({number})" if word == "eq." else f"{word} {number}"


def places_of_file_name(name: str) -> set[str]:
    """Those that the name of a test file stands for: test_remark44_410_... is Rem. 4.4 and Rem. 4.10."""
    found = set()
    for word, numbers, letter, words in IN_A_FILE_NAME.findall(name):
        if letter or words:
            found.add(f"Theorem {letter}" if letter else words.replace("_", " ").capitalize())
        for number in filter(None, numbers.split("_")):
            dotted = number if word == "table" else f"{number[0]}.{number[1:]}"
            found.add(_key(WORDS[word.capitalize()], dotted))
    return found


def documented(path: Path) -> Iterator[tuple[str, str]]:
    """Dotted name and docstring of everything in a source file that has one."""
    module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")

    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if text := ast.get_docstring(node):
                yield name, text
            for child in ast.iter_child_nodes(node):
                yield from walk(child, f"{name}.{getattr(child, 'name', '')}")

    yield from walk(ast.parse(path.read_text()), module)


def sources(text: str) -> Iterator[str]:
    """The parts of the `Source:` lines that point to the paper's statements or to the theory pages."""
    for statement in re.findall(r"^Source:(.*?)(?=^\w+:|\Z)", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"; (?=:cite:|this package)", " ".join(statement.split())):
            if part.startswith(":cite:alcalde2026") or "docs/theory/" in part:
                yield part


def functions() -> dict[str, list[str]]:
    """Statement -> names of functions and classes; a theory page named without a place stands under its path."""
    table: dict[str, list[str]] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for name, text in documented(path):
            for part in sources(text):
                keys = places(part) or set(re.findall(r"docs/(theory/[\w-]+\.md)", part))
                for key in keys:
                    table.setdefault(key, []).append(name)
    return {key: sorted(set(names)) for key, names in table.items()}


def tests() -> dict[str, list[str]]:
    """Statement -> files of tests/theorems."""
    table: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests" / "theorems").glob("test_*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        for key in places(docstring.split("\n\n")[0]) | places_of_file_name(path.stem):
            table.setdefault(key, []).append(path.name)
    return table


def page() -> str:
    """The text of the page."""
    by_function, by_test = functions(), tests()
    known = {key for key, *_ in PAPER + OURS}
    others = sorted(key for key in by_function if key not in known)
    parts = [
        "<!-- Written by docs/generate_statements.py: do not edit. -->",
        "# Statements, proofs, functions, tests",
        "Which function rests on which statement, where that is proved or corrected, and which file of "
        "`tests/theorems/` measures it. What had to be corrected: [errata.md](errata.md).",
        "## The paper",
        *_table(PAPER, by_function, by_test),
        "## Corrected and further statements",
        *_table(OURS, by_function, by_test),
        "## Other places that docstrings cite",
        *_lines("| place | functions |", (f"| {key} | {_code(by_function[key])} |" for key in others)),
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: tuple[tuple[str, str, str], ...], by_function, by_test) -> list[str]:
    lines = (
        f"| {key} | {about} | [{proof.partition('#')[0]}]({proof}) | {_code(by_function.get(key, []))} | "
        f"{'<br>'.join(f'[{name}](../../tests/theorems/{name})' for name in by_test.get(key, []))} |"
        for key, about, proof in rows
    )
    return _lines("| statement | about | proof or correction | functions | tests |", lines)


def _lines(head: str, lines: Iterator[str]) -> list[str]:
    return ["\n".join([head, "|" + "---|" * (head.count("|") - 1), *lines])]


def _code(names: list[str]) -> str:
    return "<br>".join(f"`{name.removeprefix('attnflow.')}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page())
