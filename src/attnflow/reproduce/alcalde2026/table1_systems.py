"""The systems of Table 1: generic ones drawn by seed, and structured ones chosen to test each claim.

Every case carries what the printed table says of it, and what the corrected table says.

Source: :cite:alcalde2026, Table 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ...asymptotics.blow_up import BlowUpBounds, blow_up_bounds
from ...asymptotics.small_starts import basin_of_zero, small_start_radius
from ...asymptotics.system import System
from .fig1 import limit_covariance
from .table1_flows import Ends, MeanEnds, Problem

GENERIC: Final = 30
"""Systems drawn for each row."""

BOUNDED: Final = frozenset({Ends.ZERO, Ends.SINGULAR, Ends.DEFINITE, Ends.MOVES})
NOT_ZERO: Final = BOUNDED - {Ends.ZERO}


@dataclass(frozen=True)
class Case:
    """A `problem` of a row, and what is claimed of it: sets of outcomes, empty where nothing is claimed.

    `printed` and `corrected` speak of the covariance, `printed_mean` and `corrected_mean` of the mean. `limit` is the
    limit that the corrected claim names, `trace` a bound of the trace in the long run, `bounds` those of the blow-up.
    """

    name: str
    problem: Problem
    printed: frozenset[Ends]
    corrected: frozenset[Ends]
    printed_mean: frozenset[MeanEnds] = frozenset()
    corrected_mean: frozenset[MeanEnds] = frozenset()
    limit: np.ndarray | None = None
    limit_mean: np.ndarray | None = None
    trace: float = np.inf
    bounds: BlowUpBounds | None = None


def problem(A: Any, V: Any, B: Any, cov: Any, *, bias: Any = 0.0, mean: Any = 0.0, horizon: float = 100.0) -> Problem:
    """A problem from array-likes: numbers for `V` and `B` are multiples of the identity, `cov` may be singular."""
    A = np.atleast_2d(np.array(A, float))
    d = len(A)
    V, B, cov = (np.array(x, float) * np.eye(d) if np.ndim(x) == 0 else np.array(x, float) for x in (V, B, cov))
    values, vectors = np.linalg.eigh(cov)
    factor = np.linalg.cholesky(cov) if values[0] > 0 else (vectors * np.sqrt(np.clip(values, 0, None)))[:, values > 0]
    b, m = (np.broadcast_to(np.array(x, float), d).copy() for x in (bias, mean))
    return Problem(A, V, B, b, m, factor, horizon)


def system(problem: Problem) -> System:
    """The matrices of `problem` for the corrected claims."""
    return System(problem.A, problem.V[None], problem.B[None], problem.bias, np.zeros((1, len(problem.A))))


def drawn(row: str, generic: int, draw: Callable[[np.random.Generator], Case]) -> list[Case]:
    """`generic` cases of `row`, numbered, each with a seed of its own."""
    seeds = [np.random.default_rng([2026, *row.encode(), k]) for k in range(generic)]
    return [dataclasses.replace(draw(rng), name=f"generic {k}") for k, rng in enumerate(seeds)]


def spectrum(rng: np.random.Generator, d: int, unstable: int) -> np.ndarray:
    """A random A (d, d) with that many eigenvalues in Re > 0, all of them 0.2 or more from the imaginary axis."""
    while True:
        A = rng.normal(size=(d, d))
        real = np.linalg.eigvals(A).real
        order = np.sort(real)[::-1]
        edge = [order[0] + rng.uniform(0.4, 2.0), *(0.5 * (order[:-1] + order[1:])), order[-1] - 0.4]
        moved = A - edge[unstable] * np.eye(d)
        real = np.linalg.eigvals(moved).real
        if np.abs(real).min() >= 0.2 and np.count_nonzero(real > 0) == unstable:
            return np.asarray(moved)


def positive(rng: np.random.Generator, d: int, spread: float = 10.0) -> np.ndarray:
    """A random symmetric positive definite matrix (d, d) of condition number up to `spread`."""
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    found = (turn * np.exp(rng.uniform(-0.5, 0.5, d) * np.log(spread))) @ turn.T
    return np.asarray(0.5 * (found + found.T))


# ------------------------------------------------------------------------------------------- V = eta I, S <= 0


def scalar_row(sign: float, generic: int) -> list[Case]:
    """V = eta I with eta of this `sign`, eta (B + B^T) <= 0."""

    def draw(rng: np.random.Generator) -> Case:
        d = 3
        A, eta = spectrum(rng, d, int(rng.integers(0, d + 1))), sign * rng.uniform(0.4, 1.2)
        skew = rng.normal(size=(d, d))
        B = -np.sign(eta) * positive(rng, d) + 0.5 * (skew - skew.T)
        mean, bias = rng.normal(size=(2, d))
        if eta > 0 and abs(np.linalg.eigvals(A).real.max() + eta) < 0.2:
            eta += 0.4  # else the mean needs longer than the covariance to show what it does
        return _scalar_case(problem(A, eta, B, positive(rng, d), bias=bias, mean=mean))

    return [*drawn(f"scalar {sign:+.0f}", generic, draw), *(_scalar_structured() if sign < 0 else _scalar_growing())]


def _scalar_case(one: Problem) -> Case:
    """The limit of Theorem 4.1, and the mean by the generator at that limit."""
    assert one.eta is not None
    limit = limit_covariance(one.A, one.eta * (one.B + one.B.T))
    unstable = int(np.count_nonzero(np.linalg.eigvals(one.A).real > 0))
    ends = (Ends.ZERO, *(Ends.SINGULAR,) * (len(one.A) - 1), Ends.DEFINITE)[unstable]
    generator = one.A + one.eta * limit @ one.B + one.eta * np.eye(len(one.A))
    stays = bool(np.linalg.eigvals(generator).real.max() < 0)
    return Case(
        "", one, frozenset({ends}), frozenset({ends}),
        printed_mean=frozenset({MeanEnds.LIMIT if one.eta < 0 else MeanEnds.DIVERGES}),
        corrected_mean=frozenset({MeanEnds.LIMIT if stays else MeanEnds.DIVERGES}),
        limit=limit, limit_mean=-np.linalg.solve(generator, one.bias) if stays else None,
    )  # fmt: skip


def _scalar_structured() -> list[Case]:
    """Unobservable modes, by hand: eta = -1 and B = e1 e1^T, so that S = diag(-2, 0, ...)."""
    one, two = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    turn = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]
    settled, limit = frozenset({Ends.SINGULAR}), frozenset({MeanEnds.LIMIT})
    tilted = [[1.0, 0.25, 0.5], [0.25, 1.0, 0.25], [0.5, 0.25, 2.0]]
    return [
        Case("T1", problem(np.eye(2), -1.0, one, np.eye(2)), frozenset({Ends.DEFINITE}), frozenset({Ends.GROWS})),
        Case(
            "T2: Remark 4.2", problem(np.zeros((2, 2)), -1.0, one, [[0.4, 0.2], [0.2, 0.2]], horizon=1e7),
            frozenset({Ends.ZERO}), settled, limit=np.diag([0.0, 0.1]),
        ),
        Case("T3", problem(turn, -1.0, np.diag([1.0, 0.0, 0.0]), tilted), settled, frozenset({Ends.MOVES})),
        Case(
            "T4", problem([[0.0, 1.0], [0.0, 0.0]], -1.0, two, np.eye(2), horizon=1000.0),
            frozenset({Ends.ZERO}), frozenset({Ends.GROWS}),
        ),
        Case(
            "T5: singular start", problem([[1.0, -1.0], [1.0, 1.0]], -1.0, np.eye(2), np.diag([1.0, 0.0])),
            frozenset(), frozenset({Ends.MOVES}),
        ),
        Case(
            "B = 0", problem([[2.0]], -1.0, 0.0, [[1.0]], bias=1.0, horizon=40.0), frozenset({Ends.DEFINITE}),
            frozenset({Ends.GROWS}), printed_mean=limit, corrected_mean=frozenset({MeanEnds.DIVERGES}),
        ),
    ]  # fmt: skip


def _scalar_growing() -> list[Case]:
    """eta > 0: means that do not diverge."""
    zero, gone = frozenset({Ends.ZERO}), frozenset({MeanEnds.DIVERGES})
    limit, definite = frozenset({MeanEnds.LIMIT}), frozenset({Ends.DEFINITE})
    turn = [[-1.0, 1.0, 0.5], [-1.0, -1.0, 0.25], [0.0, 0.0, -2.0]]
    return [
        Case(
            "A + eta I stable", problem([[-2.0]], 1.0, -1.0, [[1.0]], bias=3.0), zero, zero,
            printed_mean=gone, corrected_mean=limit, limit_mean=np.array([3.0]),
        ),
        Case(
            "mean and bias zero", problem([[1.5]], 1.0, -1.0, [[1.0]]), definite, definite,
            printed_mean=gone, corrected_mean=limit, limit=np.array([[1.5]]), limit_mean=np.array([0.0]),
        ),
        Case(
            "Remark 4.9", problem([[-1.0]], 1.0, -1.0, [[1.0]], mean=1.0), zero, zero,
            printed_mean=gone, corrected_mean=limit, limit_mean=np.array([np.sqrt(0.5)]),
        ),
        Case(
            "a circle", problem(turn, 1.0, -1.0, np.eye(3), mean=[1.0, 0.0, -1.0]), zero, zero,
            printed_mean=gone, corrected_mean=frozenset({MeanEnds.MOVES}),
        ),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------- V < 0 < B


def opposite_row(unstable: bool, generic: int) -> list[Case]:
    """V < 0 < B symmetric, all eigenvalues of A on one side."""

    def draw(rng: np.random.Generator) -> Case:
        d = int(rng.integers(2, 4))
        A = spectrum(rng, d, d if unstable else 0)
        size = 10.0 ** rng.uniform(-1.0, 1.0)
        one = problem(A, -positive(rng, d), positive(rng, d), size * positive(rng, d), mean=rng.normal(size=d))
        return opposite_case("", one, unstable)

    tag = "opposite, unstable" if unstable else "opposite, stable"
    return [*drawn(tag, generic, draw), *(_unstable_structured() if unstable else _stable_structured())]


def opposite_case(name: str, one: Problem, unstable: bool, **known: Any) -> Case:
    """What Theorem D says: bounded always; zero, not zero or definite under its conditions."""
    A, V, B = one.A, one.V, one.B
    forms = [np.linalg.eigvalsh(X + X.T) for X in (A, B @ A, B @ V)]
    claim = NOT_ZERO if unstable else BOUNDED
    if unstable and forms[1][0] > 0 and forms[2][-1] < 0:
        claim = frozenset({Ends.DEFINITE, Ends.MOVES})
    vanishes = not unstable and (forms[0][-1] <= 0 or (forms[1][-1] <= 0 and forms[2][-1] < 0))
    ball = None if unstable else small_start_radius(system(one), cov=one.cov)
    if vanishes or (ball is not None and ball.contains(one.cov)):
        claim = frozenset({Ends.ZERO})
    rate = blow_up_bounds(System(A, -V[None], B[None], one.bias, np.zeros((1, len(A)))), np.eye(len(A)))
    sharpest = max(b.comparison.quadratic for b in rate.bounds if b.name.startswith("trace"))
    printed = frozenset({Ends.DEFINITE if unstable else Ends.ZERO})
    # the bound holds in the limit of large times; from above it is approached
    growth = float(forms[0][-1])
    trace = np.inf if growth == 0.0 else 1.01 * max(0.0, growth) / sharpest + 1e-6
    return dataclasses.replace(Case(name, one, printed, claim, trace=trace), **known)


def _unstable_structured() -> list[Case]:
    turned, three = [[2.0, -1.0], [3.0, 3.0]], [[1.0, 1.0], [-1.0, 1.0]]
    one, five, eight = -np.diag([1.0, 3.0]), -np.diag([1.0, 5.0]), -np.diag([1.0, 8.0])
    definite = frozenset({Ends.DEFINITE})
    exact = np.array([[2 / 15, 1 / 5], [1 / 5, 7 / 15]])
    rows: list[tuple[str, Any, Any, Any, Any, frozenset[Ends], Any]] = [
        ("C1", [[1, 0], [-2, 1]], one, -one, np.eye(2), frozenset({Ends.SINGULAR}), [[0.25, -0.25], [-0.25, 0.25]]),
        ("C2", turned, five, [[1, -1], [-1, 4]], np.eye(2), frozenset({Ends.MOVES}), None),
        ("C3, one start", three, eight, [[1, 1], [1, 2]], [[1.2, -0.4], [-0.4, 0.3]], definite, None),
        ("C3, another", three, eight, [[1, 1], [1, 2]], [[0.13, -0.12], [-0.12, 0.18]], definite, None),
        ("C3b", turned, five, [[3, -2], [-2, 3]], 1.05 * exact, definite, exact),
    ]
    return [
        opposite_case(name, problem(A, V, B, cov, mean=[1.0, -0.5]), True, corrected=claim,
                      limit=None if limit is None else np.array(limit))
        for name, A, V, B, cov, claim, limit in rows
    ]  # fmt: skip


def _stable_structured() -> list[Case]:
    turned, eight, ten = [[1.0, -1.0], [3.0, -2.0]], -np.diag([1.0, 8.0]), -np.diag([1.0, 10.0])
    fast, value = [[0.0, 1 / 16], [-16.0, 0.0]], [[-1.0, -0.5], [-0.5, -1.0]]
    flat, skew = [[256.0, -15.0], [-15.0, 1.0]], [[0.0, 1.0], [-1.0, 0.0]]
    singular, zero = frozenset({Ends.SINGULAR}), frozenset({Ends.ZERO})
    rows: list[tuple[str, Any, Any, Any, Any, float, frozenset[Ends], Any]] = [
        ("C4", turned, eight, 1.0, np.eye(2), 100.0, singular, [[0.4, 0.2], [0.2, 0.1]]),
        ("C4, small start", turned, eight, 1.0, 0.01 * np.eye(2), 100.0, zero, None),
        ("C4b", turned, ten, [[6, -6], [-6, 7]], np.eye(2), 100.0, frozenset({Ends.DEFINITE}), None),
        ("C5", fast, value, flat, 5e-4 * np.eye(2), 600.0, NOT_ZERO, None),
        ("A skew", skew, eight, [[2.0, 0.5], [0.5, 1.0]], np.eye(2), 400.0, zero, None),
    ]
    return [
        opposite_case(name, problem(A, V, B, cov, horizon=horizon), False, corrected=claim,
                      limit=None if limit is None else np.array(limit))
        for name, A, V, B, cov, horizon, claim, limit in rows
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------- V > 0, B > 0


def equal_row(generic: int) -> list[Case]:
    """V, B > 0 symmetric and A + A^T >= 0: a blow-up between its bounds."""
    blow_up, gone = frozenset({Ends.BLOW_UP}), frozenset({MeanEnds.DIVERGES})

    def draw(rng: np.random.Generator) -> Case:
        d = int(rng.integers(2, 5))
        skew = rng.normal(size=(d, d))
        A = 0.5 * (skew - skew.T) + (0.5 * positive(rng, d) if rng.uniform() < 0.7 else 0.0)
        mean, bias = rng.normal(size=(2, d))
        one = problem(A, positive(rng, d), positive(rng, d), positive(rng, d), bias=bias, mean=mean)
        bounds = blow_up_bounds(system(one), one.cov)
        return Case("", one, blow_up, blow_up, printed_mean=gone, corrected_mean=gone, bounds=bounds)

    still = problem(np.zeros((2, 2)), 1.0, 1.0, np.diag([1.0, 0.1]), mean=[0.0, 1.0])
    nothing = problem([[0.5, 1.0], [-1.0, 0.25]], 1.0, [[1.0, 0.25], [0.25, 2.0]], np.eye(2))
    turned = 0.125 * np.eye(2) + np.array([[0.0, 1.0], [-1.0, 0.0]])
    finite = frozenset({MeanEnds.FINITE})
    return [
        *drawn("equal", generic, draw),
        Case(
            "mean across the blow-up", still, blow_up, blow_up, printed_mean=gone, corrected_mean=finite,
            limit_mean=np.array([0.0, np.exp(0.5) / np.sqrt(0.9)]), bounds=blow_up_bounds(system(still), still.cov),
        ),
        Case(
            "mean and bias zero", nothing, blow_up, blow_up, printed_mean=gone, corrected_mean=finite,
            limit_mean=np.zeros(2), bounds=blow_up_bounds(system(nothing), nothing.cov),
        ),
        Case(
            "V, B not symmetric", problem(np.zeros((2, 2)), turned, turned, np.eye(2), horizon=1e3), blow_up,
            frozenset({Ends.ZERO}),
        ),
    ]  # fmt: skip


def mixed_row(generic: int) -> list[Case]:
    """V, B > 0 symmetric and lambda_min(A + A^T) < 0: a small and a large start for each system, in this order."""
    found: list[Case] = []
    for k in range(generic):
        rng = np.random.default_rng([2026, *b"mixed", k])
        d, kind = int(rng.integers(2, 4)), k % 3
        A = spectrum(rng, d, 1 if kind == 2 else 0)
        V = positive(rng, d) if kind == 0 else rng.uniform(0.5, 2.0) * np.eye(d)
        one, shape = problem(A, V, positive(rng, d), np.eye(d)), positive(rng, d)
        if np.linalg.eigvalsh(A + A.T)[0] >= 0:
            continue
        for words, scale, ends in zip(("small", "large"), _sizes(one, shape), _mixed_ends(kind), strict=True):
            start = problem(A, V, one.B, scale * shape)
            found.append(Case(f"generic {k}, {words}", start, frozenset(), frozenset({ends})))
    return found


def _sizes(one: Problem, shape: np.ndarray) -> tuple[float, float]:
    """Sizes of the start for which the corrected claim decides: the separatrix, or a ball and an upper bound."""
    basin = basin_of_zero(system(one))
    if basin is not None:
        edge = 1.0 / (1.0 - basin.margin(shape))
        return 0.95 * edge, 1.05 * edge
    ball = small_start_radius(system(one), cov=shape)
    small = 0.1 if ball is None or ball.radius is None else 0.95 / (1.0 - ball.room(shape))
    large = 10.0
    while blow_up_bounds(system(one), large * shape).upper is None:
        large *= 2.0
    return small, large


def _mixed_ends(kind: int) -> tuple[Ends, Ends]:
    """With an unstable direction and V = eta I every positive definite start blows up, else small ones vanish."""
    return (Ends.BLOW_UP if kind == 2 else Ends.ZERO), Ends.BLOW_UP
