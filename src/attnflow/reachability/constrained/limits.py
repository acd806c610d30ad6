"""What a constraint makes impossible, where that can be proved.

Source: this package, docs/theory/constrained-steering.md, What cannot be reached.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ..law import Constant, Controls
from ..motion import Replayed, follow
from .problem import NAMES, Problem

ZERO = 1e-10
"""Below this size, relative to the matrices, a vector counts as invisible."""
DIFFERENT = 1e-6


def obstructions(problem: Problem) -> tuple[str, ...]:
    """Why the target of `problem` cannot be reached, one sentence for each reason; empty when none is known.

    Source: this package, docs/theory/constrained-steering.md, What cannot be reached.
    """
    with np.errstate(all="ignore"):  # e^{AT} may leave float64, and then differs from any target
        return tuple(_obstructions(problem))


def _obstructions(problem: Problem) -> list[str]:
    A, B, V, b = (_scaled(problem, name) for name in NAMES)
    words = [*_mean_at_zero(problem, b), *_mean_on_a_line(problem, b)]
    if A is not None and ((B is not None and not B.any()) or (V is not None and not V.any())):
        return [*words, *_covariance_by_feedforward(problem, A)]
    if A is not None and B is not None and V is not None:
        return [*words, *_covariance_given(problem, A, B, V)]
    if A is not None and B is not None:
        words += _unseen(problem, A, B)
    if A is not None and V is not None:
        words += _unmoved(problem, A, V, b)
    return words


def lasts(problem: Problem) -> bool:
    """Whether the covariance of `problem` lasts to the end, as far as given A, B and V (all three) decide that."""
    A, B, V = (_scaled(problem, name) for name in NAMES[:3])
    return A is None or B is None or V is None or _forced(problem, A, B, V).complete


def _scaled(problem: Problem, name: str) -> np.ndarray | None:
    given = problem.choice.given[name]
    return None if given is None else given * problem.unit(name)


def _mean_at_zero(problem: Problem, b: np.ndarray | None) -> list[str]:
    start, target = problem.state[:, 0], problem.target[:, 0]
    # a mean that is not 0 never becomes 0 either, but it comes as close as one likes: that is no obstruction
    if b is None or b.any() or start.any() or float(np.linalg.norm(target)) <= DIFFERENT * problem.spread:
        return []
    return ["with b = 0 a mean that is 0 stays 0"]


def _mean_on_a_line(problem: Problem, b: np.ndarray | None) -> list[str]:
    if problem.dim > 1 or b is None:
        return []
    sign, start, target = np.sign(b[0]), problem.state[0, 0], problem.target[0, 0]
    if abs(target) <= DIFFERENT * problem.spread:  # as close to 0 as one likes
        return []
    if (sign == 0 and start * target < 0) or (sign and sign * start >= 0 and sign * target < 0):
        return ["in dimension 1 the mean cannot pass 0 against b"]
    return []


def _covariance_by_feedforward(problem: Problem, A: np.ndarray) -> list[str]:
    moved = scipy.linalg.expm(A) @ problem.state[:, 1:]
    if _differ(moved, problem.target[:, 1:]):
        return ["the attention does not act on the covariance, which ends at e^{AT} cov(0) e^{A^T T} in any case"]
    return []


def _covariance_given(problem: Problem, A: np.ndarray, B: np.ndarray, V: np.ndarray) -> list[str]:
    found = _forced(problem, A, B, V)
    if found.motion is None or _differ(found.motion.factor(1.0), problem.target[:, 1:]):
        return ["A, B and V are given, and they move the covariance elsewhere whatever b is"]
    return []


def _forced(problem: Problem, A: np.ndarray, B: np.ndarray, V: np.ndarray) -> Replayed:
    zero = np.zeros(problem.dim)
    return follow(Constant(Controls(A, B, V, zero)), zero, problem.state[:, 1:], 1.0, evaluations=60_000)


def _unseen(problem: Problem, A: np.ndarray, B: np.ndarray) -> list[str]:
    """Directions n with B A^k n = 0 for all k are moved by A alone: Psi(T) n = e^{AT} n."""
    one, two = problem.state[:, 1:], problem.target[:, 1:]
    unseen = _invisible(B, A)
    if not unseen.shape[1] or not one.shape[1]:
        return []
    # combinations c with L(0) c unseen: the others see something
    seen = one - unseen @ (unseen.T @ one)
    _, sizes, right = np.linalg.svd(seen)
    chosen = right[sizes <= ZERO * float(np.linalg.norm(one))].T
    if not chosen.shape[1]:
        return []
    moved = scipy.linalg.expm(A) @ (one @ chosen)
    back = np.linalg.lstsq(two, moved, rcond=None)[0]
    off = np.linalg.norm(two @ back - moved) > DIFFERENT * np.linalg.norm(moved)
    if off or np.linalg.norm(back.T @ back - np.eye(chosen.shape[1])) > DIFFERENT:
        k = chosen.shape[1]
        return [f"B does not see {k} direction{'s' * (k > 1)} of the start, which A alone moves, and not to the target"]
    return []


def _unmoved(problem: Problem, A: np.ndarray, V: np.ndarray, b: np.ndarray | None) -> list[str]:
    """Functionals w with w^T A^k V = 0 for all k are moved by A and b alone."""
    functionals = _invisible(V.T, A.T)
    if not functionals.shape[1]:
        return []
    carried = functionals.T @ scipy.linalg.expm(A)
    words = []
    if _differ(carried @ problem.state[:, 1:], functionals.T @ problem.target[:, 1:]):
        words.append("V does not reach all directions, and A alone moves the covariance of the others elsewhere")
    if b is not None:
        d = problem.dim
        affine = scipy.linalg.expm(np.block([[A, b[:, None]], [np.zeros((1, d + 1))]]))
        end = affine[:d, :d] @ problem.state[:, 0] + affine[:d, d]
        missed = functionals.T @ (end - problem.target[:, 0])
        if np.linalg.norm(missed) > DIFFERENT * max(float(np.linalg.norm(problem.target)), 1e-300):
            words.append("V does not reach all directions, and A and b alone move the mean of the others elsewhere")
    return words


def _invisible(seen: Float[np.ndarray, "d d"], A: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d k"]:
    """An orthonormal basis of the n with `seen` A^j n = 0 for all j: the unobservable subspace of (`seen`, `A`)."""
    size = float(np.linalg.norm(A, 2)) or 1.0
    blocks = [seen / (float(np.linalg.norm(seen, 2)) or 1.0)]
    for _ in range(len(A) - 1):
        blocks.append(blocks[-1] @ A / size)
    _, sizes, right = np.linalg.svd(np.vstack(blocks))
    return np.asarray(right[sizes <= ZERO].T)


def _differ(one: np.ndarray, two: np.ndarray) -> bool:
    difference = one @ one.T - two @ two.T
    return not bool(np.linalg.norm(difference) <= DIFFERENT * max(float(np.linalg.norm(two @ two.T)), 1e-300))
