"""The page of errata: its code runs, the tests and scripts that it names exist, and its proof about C1 holds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import sympy

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "theory" / "errata.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def namespace():
    names: dict[str, object] = {}
    exec(compile(BLOCKS[0], str(PAGE), "exec"), names)
    return names


@pytest.mark.parametrize("index", range(1, len(BLOCKS)))
def test_the_code_of_the_page_runs(index, namespace):
    assert "assert" in BLOCKS[index]
    exec(compile(BLOCKS[index], f"{PAGE}, block {index}", "exec"), namespace)


def test_every_test_that_the_page_names_exists():
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", TEXT)
    assert len(named) > 30
    for file, name in named:
        functions = {
            node.name for node in ast.walk(ast.parse((HERE / file).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert name in functions, f"{file}::{name}"


def test_every_script_that_the_page_links_exists():
    scripts = re.findall(r"\]\((counterexamples/\w+\.py)\)", TEXT)
    assert len(set(scripts)) >= 8
    missing = [name for name in scripts if not (PAGE.parent / name).exists()]
    assert not missing


def test_the_proof_that_C1_has_no_positive_definite_equilibrium():
    """The three equations, and the factorisation after b = -y, a = u y, y = u / (3 + u^2), a + 3c = (u + 1) / 2."""
    a, b, c, u = sympy.symbols("a b c u")
    cov, A = sympy.Matrix([[a, b], [b, c]]), sympy.Matrix([[1, 0], [-2, 1]])
    half = (A - sympy.diag(1, 3) * cov * sympy.diag(1, 3)) * cov
    F = half + half.T
    equations = (a - a**2 - 3 * b**2, c - 2 * b - 3 * b**2 - 9 * c**2, b - a - 2 * b * (a + 3 * c))
    assert sympy.expand(F[0, 0] - 2 * equations[0]) == 0
    assert sympy.expand(F[1, 1] - 2 * equations[1]) == 0
    assert sympy.expand(F[0, 1] - 2 * equations[2]) == 0
    y = u / (3 + u**2)
    values = {a: u * y, b: -y, c: ((u + 1) / 2 - u * y) / 3}
    assert [sympy.simplify(e.subs(values)) for e in (equations[0], equations[2])] == [0, 0]
    left = sympy.numer(sympy.together(equations[1].subs(values)))
    quotient = sympy.cancel(left / ((u - 1) * (u**2 + 3) * (3 * u**3 - 5 * u**2 + 9 * u - 3)))
    assert quotient.is_constant()
    assert quotient != 0
