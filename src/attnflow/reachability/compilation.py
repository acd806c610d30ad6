"""A plan as residual layers: y = x + V_l attn(x; B_l) + A_l x + b_l, with attn the softmax average of the tokens.

At N(mean, cov) the average is mean + cov B_l x exactly, so such a layer is an affine map there.

Source: this package, docs/compile.md.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import scipy.linalg
from jaxtyping import Float

from .law import AbstractLaw, Constant, Controls, Following
from .motion import Motion, velocity
from .paths import AbstractPath, Exponential, Geodesic

SNAP = 1e-12

Rule: TypeAlias = Callable[[float, float, np.ndarray], Controls]
"""From the depths where a layer begins and stops, and [mean, factor] (d, r + 1) before it, to its weights."""


class Scheme(enum.StrEnum):
    """How controls over depth become weights of layers."""

    EXPONENTIAL = "exponential"
    EULER = "euler"


@dataclasses.dataclass(frozen=True)
class Stack:
    """`weights` A, B, V (layers, d, d) and b (layers, d); layer l acts from `depths[l]` to `depths[l + 1]`.

    `exact` says whether the layers follow the plan exactly at Gaussians, whatever their number; `notes` what else is
    worth knowing.
    """

    weights: Controls
    depths: Float[np.ndarray, " layers_1"]
    exact: bool
    notes: tuple[str, ...] = ()


def compile_law(law: AbstractLaw, motion: Motion, time: float, layers: int, scheme: Scheme) -> Stack:
    """`law` on [0, `time`] as `layers` residual layers by `scheme`; `motion` is where it leads.

    "euler" takes the controls at the start of each layer, and is of first order. "exponential" is exact at Gaussians
    where the law follows a path, and of second order else. On the geodesic of McCann, which is straight, both agree.

    Source: this package, docs/compile.md, The weights.
    """
    depths, notes = layer_depths(law.jumps, time, layers)
    path = path_of(law, time)
    rule: Rule
    if scheme is Scheme.EULER:
        rule, exact = _Euler(law), isinstance(path, Geodesic)
    elif path is not None:
        rule, exact = _FlowMap(law, path, time), True
    else:
        rule, exact = _Midpoint(law, motion), False
    state = np.column_stack([motion.mean(0.0), motion.factor(0.0)])
    found = []
    with np.errstate(over="ignore", invalid="ignore"):  # a stack that overflows says so at its end
        for begin, stop in itertools.pairwise(depths):
            found.append(rule(float(begin), float(stop), state))
            state = state + velocity(found[-1], state)
    weights = Controls(*(np.stack([np.asarray(layer[i]) for layer in found]) for i in range(4)))
    return Stack(weights, depths, exact, notes)


def path_of(law: AbstractLaw, time: float) -> AbstractPath | None:
    """The path that `law` follows over `time` with V = -G and A = G - V cov B, None when it follows none."""
    match law:
        case Following():
            return law.path
        case Constant(parameters=Controls(A, B, V)) if not np.any(B) and np.array_equal(V, -np.asarray(A)):
            return Exponential(np.asarray(A) * time, np.zeros((len(A), 0)))
        case _:
            return None


def layer_depths(
    jumps: tuple[float, ...], time: float, layers: int
) -> tuple[Float[np.ndarray, " layers_1"], tuple[str, ...]]:
    """Where the `layers` begin and stop on [0, `time`], with a note if parameters jump inside one.

    Evenly spaced where the `jumps` lie between layers by that; else each stretch between jumps is divided evenly, as
    long as there are layers enough.
    """
    even = np.linspace(0.0, time, layers + 1)
    if not jumps:
        return even, ()
    nearest = [int(np.argmin(np.abs(even - jump))) for jump in jumps]
    if all(abs(even[i] - jump) <= SNAP * time for i, jump in zip(nearest, jumps, strict=True)):
        even[nearest] = jumps
        return even, ()
    ends = np.array([0.0, *jumps, time])
    lengths = np.diff(ends)
    if layers < len(lengths):
        note = f"{layers} layers for {len(lengths)} stretches of constant controls: some layers cross a jump"
        return even, (note,)
    counts = np.ones(len(lengths), dtype=int)
    for _ in range(layers - len(lengths)):
        counts[np.argmax(lengths / counts)] += 1
    parts = [np.linspace(a, b, n + 1)[:-1] for (a, b), n in zip(itertools.pairwise(ends), counts, strict=True)]
    return np.concatenate([*parts, [time]]), ()


@dataclasses.dataclass(frozen=True)
class _Euler:
    """The controls at the start of a layer, times its length."""

    law: AbstractLaw

    def __call__(self, begin: float, stop: float, state: np.ndarray) -> Controls:
        A, B, V, b = (np.asarray(part) for part in self.law.controls(begin))
        h = stop - begin
        return Controls(h * A, B, h * V, h * b)


@dataclasses.dataclass(frozen=True)
class _FlowMap:
    """The law A = G - V cov B, V = -G, with h G replaced by E - I: E is the flow map of the path over the layer."""

    law: AbstractLaw
    path: AbstractPath
    time: float

    def __call__(self, begin: float, stop: float, state: np.ndarray) -> Controls:
        _, B, _, b = (np.asarray(part) for part in self.law.controls(begin))
        between = np.asarray(self.path.between(begin / self.time, stop / self.time))
        moved = between - np.eye(len(between))
        A = moved
        if B.any():
            factor = state[:, 1:]
            A = moved + (moved @ factor) @ (factor.T @ B)
        return Controls(A, B, -moved, (stop - begin) * b)


@dataclasses.dataclass(frozen=True)
class _Midpoint:
    """The controls in the middle, carried to the ends of the layer by the exponential of their generator G.

    With F = e^{hG/2} and Theta = h phi_1(hG): A_l = Theta A, V_l = Theta V F, B_l = F^T B. Keys and values are those of
    the middle, and with cov(mid) = F cov F^T the layer is e^{hG} at the Gaussian where it starts. What is zero stays
    zero, but b_l, which brings the mean to where the plan has it.
    """

    law: AbstractLaw
    motion: Motion

    def __call__(self, begin: float, stop: float, state: np.ndarray) -> Controls:
        h, middle = stop - begin, 0.5 * (begin + stop)
        A, B, V, _ = (np.asarray(part) for part in self.law.controls(middle))
        factor = self.motion.factor(middle)
        half, theta = _half_and_integral(A + (V @ factor) @ (factor.T @ B), h)
        plain = Controls(theta @ A, half.T @ B, theta @ V @ half, np.zeros(len(A)))
        missing = self.motion.mean(stop) - (state + velocity(plain, state))[:, 0]
        return plain._replace(b=missing)


def _half_and_integral(G: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """e^{hG/2} and the integral of e^{sG} over [0, h], from one exponential of a (2 d, 2 d) block matrix."""
    d = len(G)
    block = np.block([[0.5 * h * G, 0.5 * h * np.eye(d)], [np.zeros((d, 2 * d))]])
    found = scipy.linalg.expm(block)
    half = found[:d, :d]
    return half, (half + np.eye(d)) @ found[:d, d:]
