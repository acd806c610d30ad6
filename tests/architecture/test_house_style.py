"""Small functions, small files."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FUNCTION_LINES = 60
FILE_LINES = 350


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return total
    docstring = function.body[0]
    return total - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def test_no_function_is_long():
    long = [
        f"{path.relative_to(ROOT)}: {function.name} has {length(function)} lines"
        for path in SOURCES
        for function in functions(path)
        if length(function) > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_no_file_is_long():
    sizes = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in SOURCES}
    assert not {path: size for path, size in sizes.items() if size > FILE_LINES}
