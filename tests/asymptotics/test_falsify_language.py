"""The language of claims, the samples that meet them, and the exact decisions."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp

from attnflow import BadInput
from attnflow.asymptotics.falsify import exact
from attnflow.asymptotics.falsify.conclusions import Conclusion
from attnflow.asymptotics.falsify.example import Example, fractions
from attnflow.asymptotics.falsify.language import parse
from attnflow.asymptotics.falsify.sampler import Family, Sampler, parts_of
from attnflow.asymptotics.falsify.solutions import Course, course

RATIONAL = (sp.Poly(exact.k, exact.k), sp.Integer(0), sp.Integer(0))


def values(rng: np.random.Generator, count: int = 40) -> dict[str, np.ndarray]:
    stack = {name: rng.integers(-2, 3, (count, 2, 2)).astype(float) for name in "ABV"}
    stack["V"][::2] = rng.choice([-1.0, 2.0], (len(stack["V"][::2]), 1, 1)) * np.eye(2)
    stack |= {"cov": np.tile(np.eye(2), (count, 1, 1)), "I": np.tile(np.eye(2), (count, 1, 1))}
    stack |= {name: rng.integers(0, 2, (count, 2, 1)).astype(float) for name in ("b", "mean")}
    stack["eta"] = stack["V"][:, :1, :1]
    return stack | {"S": stack["eta"] * (stack["B"] + np.swapaxes(stack["B"], 1, 2))}


def definite(X: np.ndarray, sign: int) -> bool:
    return np.array_equal(X, X.T) and bool(np.all(sign * np.linalg.eigvalsh(X) > 1e-9))


BY_HAND = {
    "V < 0": lambda A, B, V: definite(V, -1),
    "sym(B) > 0": lambda A, B, V: definite((B + B.T) / 2, 1),
    "A + A^T >= 0": lambda A, B, V: np.linalg.eigvalsh(A + A.T)[0] > -1e-9,
    "BA + A'B > 0": lambda A, B, V: definite(B @ A + A.T @ B, 1),
    "Re(spec(A)) > 0": lambda A, B, V: np.linalg.eigvals(A).real.min() > 1e-6,
    "max Re spec A >= 1/2": lambda A, B, V: np.linalg.eigvals(A).real.max() >= 0.5 - 1e-6,
    "Re(spec(A V)) <= 0": lambda A, B, V: np.linalg.eigvals(A @ V).real.max() < 1e-6,
    "A B = B A": lambda A, B, V: np.array_equal(A @ B, B @ A),
    "V = eta I": lambda A, B, V: np.array_equal(V, V[0, 0] * np.eye(2)),
    "tr(A) - 2 det(B) > 1": lambda A, B, V: np.trace(A) - 2 * np.linalg.det(B) > 1 + 1e-9,
    "A - 2 I < V": lambda A, B, V: definite(A - 2 * np.eye(2) - V, -1),
    "-(A + B) (A - V)/2 + 0.5 I = V^T": lambda A, B, V: np.allclose(-(A + B) @ (A - V) / 2 + np.eye(2) / 2, V.T),
}


@pytest.mark.parametrize("text", BY_HAND)
def test_a_condition_means_what_it_says_in_floats_and_exactly(text: str):
    stack = values(np.random.default_rng(11), 400)
    condition = parse(f"{text} => bounded").conditions[0]
    expected = np.array([BY_HAND[text](*(stack[n][i] for n in "ABV")) for i in range(400)])
    np.testing.assert_array_equal(condition.holds(stack, 400), expected)
    for i in range(0, 400, 16):
        parts = {name: fractions(stack[name][i]) for name in ("A", "V", "B", "cov")}
        parts |= {name: fractions(stack[name][i][:, 0]) for name in ("b", "mean")}
        assert condition.holds_exactly(Example(**parts).symbols()) == expected[i], (text, parts)


def test_a_claim_is_written_so_that_it_is_read_again_the_same():
    for text in (*BY_HAND, "V = eta I, S <= 0, eta < 0, b = 0, mean = 0, cov >= 0"):
        once = parse(f"{text} => zero limit")
        assert str(parse(str(once))) == str(once)
        assert all(condition.to_latex() for condition in once.conditions)


def test_signs_of_the_loewner_order_and_one_string_forms_are_read():
    assert parse("V ≺ 0; B ⪰ 0 and η > 0 ⇒ Positive-Definite limit") == parse(
        "V < 0, B >= 0, eta > 0", "positive definite limit"
    )
    assert str(parse("S <= 0 => bounded")) == "V = eta I, S <= 0 => bounded"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("W < 0 => bounded", "'W' was found in 'W < 0': it is no name"),
        ("V ? 0 => bounded", "it has no meaning here"),
        ("V < 1 => bounded", "write 2 I for a matrix"),
        ("V < => bounded", "'the end' was found"),
        ("Re(spec(A) > 0 => bounded", "a closing parenthesis was expected"),
        ("Re spec b > 0 => bounded", "only a matrix has a spectrum"),
        ("b < 0 => bounded", "a vector can only equal 0"),
        ("A + b = 0 => bounded", "have no sum"),
        ("V < 0 < B => bounded", "the condition should end before it"),
        ("V < 0", "must hold a conclusion"),
        (" => bounded", "at least one condition"),
        ("V < 0 => happiness", "`conclusion` must be one of"),
        ("__import__('os') < 0 => bounded", "has no meaning here"),
        ("A / 0 = A => bounded", "a number other than 0"),
    ],
)
def test_what_is_no_claim_is_refused_with_its_token(text: str, words: str):
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert words in str(caught.value)
    assert "docs/falsify.md" in str(caught.value) or "condition" in str(caught.value)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize(
    "text",
    ["V < 0, B > 0, Re(spec(A)) > 0", "V = eta I, S <= 0, eta < 0, b = 0", "A B = B A, sym(B) >= 0, A = A^T",
     "V > 0, B >= 0, max(Re(spec(A))) < 0, cov >= 0"],
)  # fmt: skip
def test_samples_meet_the_conditions_exactly(text: str, dim: int):
    conditions = parse(f"{text} => bounded").conditions
    sampler = Sampler(conditions, dim, np.random.default_rng(3))
    stack = sampler.draw(300)
    assert len(stack["A"]) >= 10
    for i in range(0, len(stack["A"]), 8):
        symbols = Example(**{name: fractions(x) for name, x in parts_of(stack, i).items()}).symbols()
        assert all(condition.holds_exactly(symbols) for condition in conditions)
        assert symbols["cov"].is_positive_semidefinite


def test_samples_come_from_every_family_and_include_bad_conditions():
    sampler = Sampler(parse("V < 0, B > 0 => bounded").conditions, 2, np.random.default_rng(0))
    stacks = [sampler.draw(300) for _ in range(4)]
    assert {f for f in Family if sampler.accepted[f]} >= {Family.INDEPENDENT, Family.EQUILIBRIUM, Family.RANK_ONE}
    assert max(np.linalg.cond(stack["B"]).max() for stack in stacks) >= 256


def test_hurwitz_signs_agree_with_eigenvalues(rng: np.random.Generator):
    for dim, count in ((2, 20), (3, 12), (4, 4)):
        for _ in range(count):
            X = rng.integers(-4, 5, (dim, dim)) - 2 * np.eye(dim, dtype=int) * rng.integers(0, 3)
            signs = exact.hurwitz(sp.Matrix(X.tolist()), RATIONAL)
            top = np.linalg.eigvals(X).real.max()
            if all(sign > 0 for sign in signs):
                assert top < 0
            elif 0 not in signs:
                assert top > 0
            assert exact.spectrum_beside_zero(sp.Matrix(X.tolist()), -1, True) == (top < -1e-9)
            assert exact.spectrum_beside_zero(sp.Matrix(X.tolist()), -1, False) == (top < 1e-4)


def test_hurwitz_signs_see_what_the_coefficients_alone_do_not():
    companion = sp.Matrix([[0, 1, 0], [0, 0, 1], [-2, -1, -1]])  # x^3 + x^2 + x + 2: all positive, yet unstable
    assert np.linalg.eigvals(np.array(companion.tolist(), dtype=float)).real.max() > 0.1
    assert exact.hurwitz(companion, RATIONAL) == [1, -1, -1]
    assert not exact.spectrum_beside_zero(companion, -1, False)


def test_the_exact_linearisation_is_the_derivative_of_the_rate(rng: np.random.Generator):
    """Central differences of a quadratic map are its derivative."""
    for dim in (1, 2, 3):
        A, V, B, X = (rng.integers(-3, 4, (dim, dim)).astype(float) for _ in range(4))
        X = X + X.T
        found = np.array(
            exact.linearised(*(sp.Matrix(Y.astype(int).tolist()) for Y in (A, V, B, X))).tolist(), dtype=float
        )
        places = np.triu_indices(dim)
        for column, (i, j) in enumerate(zip(*places, strict=True)):
            E = np.zeros((dim, dim))
            E[i, j] = E[j, i] = 1.0
            ends = [(A + V @ Y @ B) @ Y for Y in (X + E, X - E)]
            difference = (ends[0] + ends[0].T - ends[1] - ends[1].T) / 2
            np.testing.assert_allclose(found[:, column], difference[places], atol=1e-9)


@pytest.mark.parametrize(
    ("A", "V", "B"),
    [
        ([[1, 0], [-2, 1]], [[-1, 0], [0, -3]], [[1, 0], [0, 3]]),
        ([[1, 1], [-1, 1]], [[-1, 0], [0, -8]], [[1, 1], [1, 2]]),
        ([[2, -1], [3, 3]], [[-1, 1], [0, -5]], [[3, -2], [-1, 3]]),
    ],
)
def test_the_planar_list_is_that_of_an_elimination(A, V, B):
    """Groebner bases of the three equations know nothing of the skew matrix that makes the list."""
    A, V, B = map(sp.Matrix, (A, V, B))
    x = sp.symbols("x y z")
    X = sp.Matrix([[x[0], x[1]], [x[1], x[2]]])
    half = (A + V * X * B) * X
    F = half + half.T
    t = sp.Symbol("t")
    basis = sp.groebner([F[0, 0], F[0, 1], F[1, 1], 1 - t * X.det()], t, *x, order="lex")
    last = sp.Poly(basis.exprs[-1], x[2])
    assert last.is_univariate
    expected = sorted(float(root) for root in set(last.real_roots()))
    listed = exact.planar(A, V, B)
    assert all(exact.sign_at(entry, root) == 0 for Y, root in listed for entry in exact.rate(A, V, B, Y))
    found = []
    for Y, (p, lo, hi) in listed:
        if p.degree() > 1:
            lo, hi = p.refine_root(lo, hi, eps=sp.Rational(1, 10**20))
        found.append(float(Y[1, 1].subs(exact.k, (lo + hi) / 2)))
    np.testing.assert_allclose(sorted(found), expected, rtol=1e-10)


def test_the_sign_of_a_number_next_to_zero_is_exact():
    p = sp.Poly(exact.k**2 - 2, exact.k)
    root = (p, sp.Integer(1), sp.Integer(2))
    close = sp.Rational(14142135623730950488016887242096980786, 10**37)
    assert exact.sign_at(exact.k - close, root) == -1
    assert exact.sign_at((exact.k**2 - 2) * (exact.k - 7), root) == 0
    assert exact.sign_at(1 / (exact.k - 2), root) == -1


def test_the_course_of_an_isotropic_covariance_is_that_of_its_integration():
    for alpha in (-1, 0, 1):
        for beta in (-1, 0, 1):
            for start in (0.5, 2.0):
                run = _isotropic_run(alpha, beta, start)
                found = course(Fraction(alpha), Fraction(beta), Fraction(start))
                end = run.y[0, -1]
                if found is Course.BLOW_UP:
                    assert run.t[-1] < 5
                elif found is Course.INFINITY:
                    assert end > 1e5
                elif found is Course.ZERO:
                    assert end < 1e-2
                else:
                    assert 0.3 < end < 3


def _isotropic_run(alpha: int, beta: int, start: float):
    def escape(t, s):
        return 1e6 - s[0]

    escape.terminal = True
    return solve_ivp(lambda t, s: 2 * alpha * s + 2 * beta * s**2, (0, 400), [start], events=escape, rtol=1e-9)


def test_the_page_lists_the_conclusions_and_its_conditions_can_be_read():
    page = (Path(__file__).parents[2] / "docs" / "falsify.md").read_text()
    assert all(f"`{conclusion.value}`" in page for conclusion in Conclusion)
    table = page.split("| condition | meaning |")[1].split("\n\n")[0]
    texts = [text for line in table.splitlines()[2:] for text in re.findall(r"`([^`]*[<>=][^`]*)`", line.split("|")[1])]
    assert len(texts) >= 18
    for text in texts:
        assert parse(f"{text} => bounded").conditions
