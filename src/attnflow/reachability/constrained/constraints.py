"""The constraints that `steer` knows: what is given, what must not change with depth, what is to be least."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ..._check import BadInput, real_array, require_shape
from ..._types import AnyArray, ArrayLike
from ..law import Controls

STRETCHES = 8

RateOfCost: TypeAlias = Callable[[AnyArray, Controls, AnyArray, AnyArray], AnyArray]
"""A running cost: (t, controls, mean (d,), cov (d, d)) to a number, written with `jax.numpy`."""


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionOnly:
    """Attention must do the work: the feed-forward layer A x + b is given.

    `A` (d, d) and `b` (d,), zero if None, are fixed. V may be chosen at every depth, and so may `B` unless it is given
    (d, d). With b = 0 a mean that is 0 stays 0, and no other mean ever becomes 0.

    Source: this package, docs/theory/constrained-steering.md, What cannot be reached.
    """

    A: ArrayLike
    B: ArrayLike | None = None
    b: ArrayLike | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class TimeInvariant:
    """Parameters that do not change with depth; `A`, `B`, `V` (d, d) and `b` (d,) are chosen unless they are given.

    Source: this package, docs/theory/constrained-steering.md, Constant parameters.
    """

    A: ArrayLike | None = None
    B: ArrayLike | None = None
    V: ArrayLike | None = None
    b: ArrayLike | None = None


@dataclasses.dataclass(frozen=True)
class LeastEnergy:
    """The least control energy: int |V|_F^2 over all plans with A = -V, B = 0 and the mean on a straight line.

    Source: this package, docs/theory/constrained-steering.md, Least energy.
    """


@dataclasses.dataclass(frozen=True, eq=False)
class RunningCost:
    """The least int `cost`(t, controls, mean, cov) dt over controls that are constant on `stretches` equal stretches.

    `cost` is written with `jax.numpy` and returns a number; its second argument has the parts A, B, V and b. `A`, `B`,
    `V` (d, d) and `b` (d,) are chosen unless they are given. A local minimum is found, starting from an exact plan.

    Source: this package, docs/theory/constrained-steering.md, A running cost.
    """

    cost: RateOfCost
    A: ArrayLike | None = None
    B: ArrayLike | None = None
    V: ArrayLike | None = None
    b: ArrayLike | None = None
    stretches: int = STRETCHES


Constraint: TypeAlias = AttentionOnly | TimeInvariant | LeastEnergy | RunningCost


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """A constraint, checked: the `given` controls (None where free), on how many `stretches` of depth."""

    given: dict[str, np.ndarray | None]
    stretches: int

    @property
    def free(self) -> tuple[str, ...]:
        """The names of the parameters that may be chosen."""
        return tuple(name for name, value in self.given.items() if value is None)

    def value(self, name: str) -> np.ndarray:
        """The given parameter `name`; it must not be free."""
        found = self.given[name]
        if found is None:
            raise KeyError(name)
        return found


def choice_of(constraint: Any, d: int) -> Choice | None:
    """What `constraint` leaves to choose in dimension `d`; None for `LeastEnergy`, which has its own equations.

    Raises BadInput when it is no constraint, a shape is wrong, or nothing is left to choose.
    """
    if isinstance(constraint, LeastEnergy):
        return None
    if isinstance(constraint, AttentionOnly):
        given = {
            "A": _matrix("A", constraint.A, d),
            "B": _optional("B", constraint.B, d),
            "V": None,
            "b": np.zeros(d) if constraint.b is None else _vector("b", constraint.b, d),
        }
        return Choice(given, STRETCHES)
    if isinstance(constraint, RunningCost):
        if not callable(constraint.cost):
            raise BadInput(
                f"`cost` must be a function of (t, controls, mean, cov): {type(constraint.cost).__name__} was found."
            )
        stretches = constraint.stretches
        if isinstance(stretches, bool) or int(stretches) != stretches or not 1 <= stretches <= 256:
            raise BadInput(f"`stretches` must be a whole number from 1 to 256: {stretches!r} was found.")
        return Choice(_open(constraint, d), int(stretches))
    if isinstance(constraint, TimeInvariant):
        return Choice(_open(constraint, d), 1)
    raise BadInput(
        "`constrain` must be AttentionOnly(A=...), TimeInvariant(...), LeastEnergy() or RunningCost(...): "
        f"{constraint!r} was found."
    )


def _open(constraint: TimeInvariant | RunningCost, d: int) -> dict[str, np.ndarray | None]:
    given = {name: _optional(name, getattr(constraint, name), d) for name in ("A", "B", "V")}
    given["b"] = None if constraint.b is None else _vector("b", constraint.b, d)
    V = given["V"]
    idle = V is not None and not V.any()
    if given["A"] is not None and given["b"] is not None and V is not None and (idle or given["B"] is not None):
        why = "V = 0, so that B has no effect" if idle and given["B"] is None else "A, B, V and b are all given"
        raise BadInput(f"`constrain` must leave something to choose: {why}; leave one of A, B, V and b out.")
    return given


def _optional(name: str, value: ArrayLike | None, d: int) -> np.ndarray | None:
    return None if value is None else _matrix(name, value, d)


def _matrix(name: str, value: ArrayLike, d: int) -> np.ndarray:
    if value is None:
        raise BadInput(f"`{name}` must be given as a (d, d) matrix: None was found; give zeros for no such layer.")
    matrix = real_array(name, value, ndim=(2,))
    require_shape(name, matrix.shape, (d, d), because="to agree with `start`")
    return matrix


def _vector(name: str, value: ArrayLike, d: int) -> np.ndarray:
    vector = real_array(name, value, ndim=(1,))
    require_shape(name, vector.shape, (d,), because="to agree with `start`")
    return vector
