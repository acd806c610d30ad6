"""Samples that meet the conditions of a claim: by construction where it can be done, by rejection for the rest."""

from __future__ import annotations

import enum
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from .conditions import Condition
from .example import NAMES, VECTORS
from .families import definite_matrix, skew_matrix, unimodular, wished_matrix
from .wishes import Wishes, wishes_of

Square = Float[np.ndarray, "d d"]
Draw = dict[str, np.ndarray]
Stack = dict[str, np.ndarray]


class Family(enum.StrEnum):
    """How the matrices of a sample hang together."""

    INDEPENDENT = "independent"
    EQUILIBRIUM = "built around a positive definite equilibrium"
    RANK_ONE = "built around a rank-one equilibrium"
    UNOBSERVABLE = "with an unobservable eigenvector"
    NEUTRAL = "with an eigenvector of A + V in the kernel of B"
    ISOTROPIC = "with an isotropic solution"
    DIAGONAL = "diagonal"


class Sampler:
    """Draws systems and starts that meet `conditions` in dimension `dim` from the generator `rng`.

    `drawn` and `accepted` count by family; a family that is never accepted is drawn less and less.
    """

    def __init__(self, conditions: tuple[Condition, ...], dim: int, rng: np.random.Generator) -> None:
        """Read the conditions once."""
        self._conditions, self._dim, self._rng = conditions, dim, rng
        self._wishes = wishes_of(conditions)
        self.drawn = dict.fromkeys(Family, 0)
        self.accepted = dict.fromkeys(Family, 0)

    @property
    def singular(self) -> bool:
        """Whether singular starts are allowed."""
        return self._wishes.singular

    def draw(self, count: int) -> Stack:
        """Out of `count` draws those that meet the conditions up to rounding, as stacks; vectors are (N, d, 1)."""
        weights = np.array([(self.accepted[f] + 20.0) / (self.drawn[f] + 20.0) for f in Family])
        weights[list(Family).index(Family.EQUILIBRIUM)] *= 3  # the richest: each has an equilibrium with exact numbers
        chosen = self._rng.choice(len(Family), size=count, p=weights / weights.sum())
        families = [list(Family)[i] for i in chosen]
        draws = [self._one(family) for family in families]
        stack = {name: np.stack([draw[name] for draw in draws]) for name in draws[0]}
        keep = self.meets(stack)
        if self._dim > 1 and not self._wishes.B.zero:
            keep &= np.any(stack["B"] != 0, axis=(1, 2))  # no attention at all says little
        for family, kept in zip(families, keep, strict=True):
            self.drawn[family] += 1
            self.accepted[family] += bool(kept)
        return {name: values[keep] for name, values in stack.items()}

    def meets(self, stack: Stack) -> np.ndarray:
        """Which systems of `stack` meet the conditions, up to rounding (N,)."""
        count = len(stack["A"])
        values = with_names(stack)
        keep = np.linalg.eigvalsh(stack["cov"])[:, 0] >= (0.0 if self.singular else 1e-9)
        for condition in self._conditions:
            keep &= condition.holds(values, count)
        return np.asarray(keep)

    def _one(self, family: Family) -> Draw:
        rng, dim, wishes = self._rng, self._dim, self._wishes
        V = rng.choice([1.0, 1.0, 2.0, 3.0, 0.5]) * np.eye(dim) if wishes.scalar else None
        if V is None:
            V = wished_matrix(rng, dim, wishes.V)
        elif (wishes.eta or wishes.V.sign or rng.choice([-1, 1])) < 0:
            V = -V
        draw = {
            "A": wished_matrix(rng, dim, wishes.A),
            "V": V,
            "B": self._score(V),
            "hint": np.full((dim, dim), np.nan),
        }
        draw |= {"cov": self._start(), "b": self._vector(wishes.no_b), "mean": self._vector(wishes.no_mean)}
        if family is not Family.INDEPENDENT:
            _BUILDERS[family](rng, draw, wishes)
        return draw

    def _score(self, V: Square) -> Square:
        wish = self._wishes.B
        if wish.part and not wish.sign and self._wishes.scalar:
            # S <= 0 without a sign of eta in the claim: it is that of the V drawn
            found = -np.sign(V[0, 0]) * definite_matrix(self._rng, self._dim, strict=wish.strict)
            return np.asarray(found + (self._rng.random() < 0.5) * skew_matrix(self._rng, self._dim))
        return wished_matrix(self._rng, self._dim, wish)

    def _vector(self, zero: bool) -> np.ndarray:
        return np.zeros((self._dim, 1)) if zero else self._rng.integers(-2, 3, (self._dim, 1)).astype(float)

    def _start(self) -> Square:
        rng, dim = self._rng, self._dim
        style = rng.integers(5)
        if self.singular and style >= 2:
            u = rng.integers(-2, 3, (dim, 1)).astype(float)
            return np.asarray(u @ u.T) if style > 2 else np.zeros((dim, dim))
        if style == 0:
            return np.eye(dim)
        scale = rng.choice([1 / 64, 1 / 8, 0.5, 1.0, 4.0])
        return np.asarray(scale * (np.eye(dim) if style == 1 else definite_matrix(rng, dim, strict=True)))


def parts_of(stack: Stack, index: int) -> Draw:
    """System `index` of `stack` by itself, vectors as (d,)."""
    return {name: stack[name][index][:, 0] if name in VECTORS else stack[name][index] for name in NAMES}


def with_names(stack: Stack) -> Stack:
    """`stack` with what else the language can name: I, eta and S."""
    eta = stack["V"][:, :1, :1]
    identity = np.broadcast_to(np.eye(stack["A"].shape[-1]), stack["A"].shape)
    return stack | {"I": identity, "eta": eta, "S": eta * (stack["B"] + np.swapaxes(stack["B"], 1, 2))}


def _around_equilibrium(rng: np.random.Generator, draw: Draw, wishes: Wishes) -> None:
    """A such that a chosen positive definite matrix X is at rest: A + V X B = K / X with a skew K."""
    dim = len(draw["A"])
    X = rng.choice([1.0, 1.0, 0.5, 0.25]) * unimodular(rng, dim)
    draw["A"] = skew_matrix(rng, dim, 6) @ np.rint(np.linalg.inv(X) * 4) / 4 - draw["V"] @ X @ draw["B"]
    draw["hint"] = X


def _around_rank_one(rng: np.random.Generator, draw: Draw, wishes: Wishes) -> None:
    """A u = -c V u with c > 0: a multiple of u u^T is at rest where u^T B u > 0."""
    u = rng.integers(-2, 3, (len(draw["A"]), 1)).astype(float)
    j = int(rng.integers(len(u)))
    u[j] = rng.choice([-1.0, 1.0])
    c = rng.choice([0.5, 1.0, 1.0, 2.0, 3.0])
    draw["A"][:, j] += ((-c * draw["V"] @ u - draw["A"] @ u) * u[j])[:, 0]


def _unobservable(rng: np.random.Generator, draw: Draw, wishes: Wishes) -> None:
    """A e = c e for a unit vector e that the symmetric part of B does not see."""
    j = int(rng.integers(len(draw["A"])))
    draw["B"][:, j] = draw["B"][j, :] = 0.0
    draw["A"][:, j] = 0.0
    draw["A"][j, j] = rng.integers(-1, 3)


def _neutral(rng: np.random.Generator, draw: Draw, wishes: Wishes) -> None:
    """B e = 0 and (A + V) e = c e for a unit vector e: the mean moves along e whatever the covariance does."""
    j = int(rng.integers(len(draw["A"])))
    draw["B"][:, j] = 0.0
    if rng.random() < 0.7:
        draw["B"][j, :] = 0.0
    draw["A"][:, j] = -draw["V"][:, j]
    draw["A"][j, j] += rng.integers(-1, 3)
    draw["b"] = np.zeros_like(draw["b"])


def _isotropic(rng: np.random.Generator, draw: Draw, wishes: Wishes) -> None:
    """A, V, B multiples of I plus skew ones: with one skew matrix a multiple of I stays one."""
    dim = len(draw["A"])
    J = skew_matrix(rng, dim, 1)
    sign = {name: getattr(wishes, name).sign or rng.choice([-1, 1]) for name in ("V", "B")}
    if not wishes.scalar:
        draw["V"] = sign["V"] * rng.choice([0.5, 1.0, 2.0]) * np.eye(dim) + rng.integers(-2, 3) * J
    draw["B"] = sign["B"] * rng.choice([0.5, 1.0, 2.0]) * np.eye(dim) + rng.integers(-3, 4) * J
    if not wishes.A.zero:
        draw["A"] = rng.integers(-2, 3) * np.eye(dim) + rng.integers(-1, 2) * J
    draw["cov"] = rng.choice([0.25, 1.0, 4.0]) * np.eye(dim)


def _diagonal(rng: np.random.Generator, draw: Draw, wishes: Wishes) -> None:
    for name in ("A", "V", "B", "cov"):
        draw[name] = np.diag(np.diag(draw[name]))
    if rng.random() < 0.5:
        draw["A"] = draw["A"][0, 0] * np.eye(len(draw["A"]))
    draw["mean"] *= rng.integers(0, 2, draw["mean"].shape)
    draw["b"] *= 0.0


_BUILDERS: dict[Family, Callable[[np.random.Generator, Draw, Wishes], None]] = {
    Family.EQUILIBRIUM: _around_equilibrium,
    Family.RANK_ONE: _around_rank_one,
    Family.UNOBSERVABLE: _unobservable,
    Family.NEUTRAL: _neutral,
    Family.ISOTROPIC: _isotropic,
    Family.DIAGONAL: _diagonal,
}
