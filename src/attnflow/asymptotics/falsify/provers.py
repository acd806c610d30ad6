"""Proofs by equilibria: resting starts, attractors, lists without what is claimed to be there."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from .conclusions import Conclusion
from .example import Example
from .follow import tends_to
from .points import ExactPoint, Point, exact_points
from .proofs import (
    ATTRACTS,
    REPELS,
    UNSTABLE,
    Case,
    Choice,
    Proof,
    all_negative,
    exactly,
    mean_stable,
    mean_unstable,
    moving_mean,
    point_steps,
    signs_at,
    some_positive,
    stable,
    unstable,
)

MEAN_MATRIX = "signs = hurwitz(A + V + V * X * B, root)  # what moves the mean while cov is at X"
LISTED = "listed = planar(A, V, B)"
FINITE = "assert listed is not None  # finitely many nonsingular equilibria, all of them listed"


def attractor(case: Case, choice: Choice, words: str) -> Proof | None:
    """An equilibrium of the `choice` with a Hurwitz linearisation: an open set of starts goes there."""
    for point, exact in exactly(case, lambda p: choice(p) and stable(p)):
        if all_negative(signs_at(case, exact)):
            example = _start_near(case, point)
            name = _name(exact)
            reason = f"{name} {_shown(exact)} is exponentially stable, so an open set of starts tends to it: {words}"
            if example is not None:
                return Proof(example, reason, (*point_steps(exact), ATTRACTS), _burden(exact))
    return None


def _start_near(case: Case, point: Point) -> Example | None:
    """A positive definite start that is seen to tend to `point`."""
    dim = case.dim
    starts = [case.example.cov, np.eye(dim)]
    for grain in (8, 64, 1024):
        rounded = np.rint(point.cov * grain) / grain
        starts.append(rounded + np.eye(dim) / grain)
    for start in starts:
        example = case.example.replace(cov=start)
        if np.linalg.eigvalsh(example.floats()["cov"])[0] > 0 and tends_to(example, point.cov, -point.abscissa):
            return example
    return None


def singular_attractor(case: Case) -> Proof | None:
    """A stable equilibrium that is not positive definite."""
    return attractor(case, lambda p: not p.full, "their limit is not positive definite")


def nonzero_attractor(case: Case) -> Proof | None:
    """A stable equilibrium other than 0."""
    return attractor(case, lambda p: p.rank > 0, "their limit is not 0")


def any_attractor(case: Case) -> Proof | None:
    """A stable equilibrium: what tends to it exists for all times."""
    return attractor(case, lambda p: True, "they exist for all times")


def resting(case: Case, choice: Choice, words: str) -> Proof | None:
    """A rational equilibrium of the `choice` as the start: the covariance stays there."""
    for _, exact in exactly(case, lambda p: choice(p) and (p.full or case.singular)):
        if exact.rational:
            example = case.example.replace(cov=np.array(exact.cov.tolist()))
            reason = f"{_name(exact)} {_shown(exact)} stays where it is: {words}"
            return Proof(example, reason, tuple(point_steps(exact)))
    return None


def resting_nonzero(case: Case) -> Proof | None:
    """A start at rest that is not 0."""
    return resting(case, lambda p: p.rank > 0, "the limit is not 0")


def resting_anywhere(case: Case) -> Proof | None:
    """A start at rest: no blow-up."""
    return resting(case, lambda p: True, "it exists for all times")


def resting_singular(case: Case) -> Proof | None:
    """A singular start at rest where the unstable subspace of A is the whole space."""
    values = np.linalg.eigvals(case.parts["A"]).real
    found = resting(case, lambda p: not p.full, "all eigenvalues of A have positive real parts, yet it is no limit of "
                    "full rank") if values.min() > 1e-6 else None  # fmt: skip
    if found is None:
        return None
    root = "root = (sp.Poly(k, k), sp.Integer(0), sp.Integer(0))"
    step = "assert all(s > 0 for s in hurwitz(-A, root))  # the unstable subspace of A is everything"
    return Proof(found.example, found.reason, (*found.steps, root, step))


def mean_driven_away(case: Case) -> Proof | None:
    """At an equilibrium of the covariance the matrix of the mean has an eigenvalue with positive real part."""
    return _mean_at_rest(case, mean_unstable, some_positive, "the mean diverges", UNSTABLE)


def mean_attracted(case: Case) -> Proof | None:
    """At an equilibrium of the covariance the matrix of the mean is Hurwitz."""
    step = "assert all(s > 0 for s in signs)  # all eigenvalues have negative real parts: the mean converges"
    return _mean_at_rest(case, mean_stable, all_negative, "the mean converges", step)


def _mean_at_rest(case: Case, choice: Choice, test: object, words: str, step: str) -> Proof | None:
    assert callable(test)
    for point, exact in exactly(case, lambda p: choice(p) and (p.full or case.singular or stable(p))):
        if not test(signs_at(case, exact, mean=True)):
            continue
        steps = (*point_steps(exact), MEAN_MATRIX, step)
        if exact.rational and (point.full or case.singular):
            example: Example | None = case.example.replace(cov=np.array(exact.cov.tolist()))
            reason = f"the covariance stays at {_shown(exact)}, where {words}"
        elif all_negative(signs_at(case, exact)):
            example = _start_near(case, point)
            steps = (*steps[:-2], ATTRACTS, *steps[-2:])
            reason = f"an open set of starts tends to {_name(exact)} {_shown(exact)}, where {words}"
        else:
            continue
        if example is not None:
            unlucky = " but for a thin set of starts of the mean" if step is UNSTABLE else ""
            return Proof(moving_mean(case, point, example), reason + unlucky, steps, _burden(exact))
    return None


def unstable_point(case: Case) -> Proof | None:
    """A positive definite equilibrium with an eigenvalue of positive real part."""
    for _, exact in exactly(case, lambda p: p.full and unstable(p)):
        if some_positive(signs_at(case, exact)):
            steps = (*point_steps(exact), REPELS, UNSTABLE)
            example = _at_or_near(case, exact)
            return Proof(example, f"{_name(exact)} {_shown(exact)} is unstable", steps, _burden(exact))
    return None


def mean_unstable_point(case: Case) -> Proof | None:
    """A positive definite equilibrium at which the mean is driven away."""
    for point, exact in exactly(case, lambda p: p.full and mean_unstable(p)):
        if some_positive(signs_at(case, exact, mean=True)):
            example = moving_mean(case, point, _at_or_near(case, exact))
            reason = f"at {_name(exact)} {_shown(exact)} the mean is driven away"
            return Proof(example, reason, (*point_steps(exact), MEAN_MATRIX, UNSTABLE), _burden(exact))
    return None


def no_equilibrium(case: Case) -> Proof | None:
    """For d = 2: the list of all nonsingular equilibria holds no positive definite one."""
    if case.dim != 2 or not case.points.complete or case.points.full:
        return None
    if exact_points(case.example, 2) != []:
        return None
    steps = (LISTED, FINITE, "assert not any(is_positive(X, root) for X, root in listed)  # none positive definite")
    words = "" if case.conclusion is not Conclusion.POSITIVE_DEFINITE_LIMIT else ", and every limit is an equilibrium"
    return Proof(case.example, f"there is no positive definite equilibrium{words}", steps)


def several(case: Case) -> Proof | None:
    """For d = 2: the list of all nonsingular equilibria holds more than one positive definite one."""
    if case.dim != 2 or len(case.points.full) < 2:
        return None
    listed = exact_points(case.example, 2)
    if listed is None or len(listed) < 2:
        return None
    steps = (LISTED, f"assert sum(is_positive(X, root) for X, root in listed) == {len(listed)}")
    return Proof(case.example, f"there are {len(listed)} positive definite equilibria", steps)


def all_unstable(case: Case) -> Proof | None:
    """For d = 2: every positive definite equilibrium is unstable, so almost every start has another fate."""
    if case.dim != 2 or not case.points.complete or not all(map(unstable, case.points.full)):
        return None
    listed = exact_points(case.example, 2)
    if not listed or not all(some_positive(signs_at(case, exact)) for exact in listed):
        return None
    steps = (LISTED, FINITE, *_each_unstable("[(X, root) for X, root in listed if is_positive(X, root)]"))
    which = "the only positive definite equilibrium is" if len(listed) == 1 else "all positive definite equilibria are"
    reason = f"{which} unstable, so only a set of starts of measure zero tends to a positive definite limit"
    return Proof(case.example, reason, steps)


def nothing_attracts(case: Case) -> Proof | None:
    """For d = 2: every equilibrium, singular ones and 0 included, is unstable."""
    if case.dim != 2 or not case.points.complete or not all(map(unstable, case.points.found)):
        return None
    points = list[ExactPoint]()
    for rank in (0, 1, 2):
        points += exact_points(case.example, rank) or []
    determinant = case.example.symbols()["A"].det()
    if determinant == 0 or not all(some_positive(signs_at(case, exact)) for exact in points):
        return None
    steps = [LISTED, FINITE, "found = [(X, root) for X, root in listed if is_positive(X, root)]"]
    steps += [
        "# rank one: X = k u u^T / (u^T B u) with A u = -k V u, k > 0",
        "assert A.det() != 0 and not sp.Poly((A + k * V).det(), k).is_zero",
        f"assert sp.Poly((A + k * V).det(), k).count_roots(0, None) == {_positive_roots(case.example)}",
    ]
    for exact in points:
        if exact.rank == 1:
            steps += [*point_steps(exact), "found.append((X, root))"]
    steps += ["found.append((sp.zeros(2), (sp.Poly(k, k), sp.Integer(0), sp.Integer(0))))", *_each_unstable("found")]
    if sum(exact.rank == 1 for exact in points) != _positive_roots(case.example):
        return None
    reason = "every equilibrium, singular ones and 0 included, is unstable, so only a set of measure zero converges"
    return Proof(case.example, reason, tuple(steps))


def zero_unstable(case: Case) -> Proof | None:
    """A has an eigenvalue with positive real part: 0 is no limit of almost any start."""
    if np.linalg.eigvals(case.parts["A"]).real.max() < 1e-6:
        return None
    step = "assert spectrum_across_zero(A, 1, True)  # the linearisation at 0 is unstable"
    reason = "A has an eigenvalue with positive real part, so only a set of starts of measure zero tends to 0"
    return Proof(case.example, reason, (step,), 5.0)


def _each_unstable(which: str) -> list[str]:
    return [
        f"for X, root in {which}:",
        f"    {REPELS}",
        f"    {UNSTABLE}",
    ]


def _positive_roots(example: Example) -> int:
    import sympy as sp

    from .exact import k

    M = example.symbols()
    return int(sp.Poly((M["A"] + k * M["V"]).det(), k).count_roots(0, None))


def _at_or_near(case: Case, exact: ExactPoint) -> Example:
    """The example started at an equilibrium, or at a rational matrix near it."""
    if exact.rational:
        return case.example.replace(cov=np.array(exact.cov.tolist()))
    return case.example.replace(cov=[[Fraction(round(x * 1024), 1024) for x in row] for row in exact.floats])


def _name(exact: ExactPoint) -> str:
    dim = len(exact.floats)
    return {0: "the equilibrium", dim: "the positive definite equilibrium"}.get(exact.rank, "the rank-one equilibrium")


def _shown(exact: ExactPoint) -> str:
    if exact.rational:
        return str(exact.cov.tolist())
    rows = ", ".join("[" + ", ".join(f"{x:.5g}" for x in row) + "]" for row in exact.floats)
    return f"[{rows}] (algebraic)"


def _burden(exact: ExactPoint) -> float:
    return 0.0 if exact.rational else 4.0
