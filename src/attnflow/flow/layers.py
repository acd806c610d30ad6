"""Residual layers: x + step Gamma(x), the Transformer as it is built, on Gaussians and on tokens.

All heads and the feed-forward of a layer read the same x.

Source: :cite:alcalde2026, eq. (2.1).
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._types import AnyArray, Points
from ..measures.gaussian import Gaussian
from ..transformer.depth import Model, Piecewise, layer_at
from ..transformer.layer import AbstractLayer
from .leg import Leg, Options, Point, Progress
from .outcome import Status
from .tokens import HUGE, TokenSolution, require_convergence, token_velocity

STATEMENT = "exact: the affine map of each layer, in float64"
RANK = "a layer maps the covariance by I + step G: its rank cannot grow, and drops where that matrix is singular"


def layer_of(model: Model, index: int, step: float) -> AbstractLayer:
    """The layer with this `index`: the parameters at depth index * `step`.

    Where parameters jump, those in the middle of the layer count, so that rounding of the depth does not matter.
    """
    return layer_at(model, (index + 0.5) * step if isinstance(model, Piecewise) else np.asarray(index * step))


def gaussian_layers(model: Model, start: Gaussian, options: Options, progress: Progress) -> Leg:
    """`start` behind each of `options.layers` layers; the flow ends early with status `overflow` beyond 1e120."""
    place = Point(0.0, np.asarray(start.mean, dtype=np.float64), np.asarray(start.factor, dtype=np.float64))
    leg = Leg([place], place, Status.REACHED_END, "residual_layers", "residual_layers", {})
    leg.statements = {"cov": STATEMENT, "mean": STATEMENT, "rank": RANK}
    step = np.asarray(options.step)
    try:
        for i in range(options.layers or 0):
            layer = layer_of(model, i, options.step)
            mean, factor = (np.asarray(x) for x in _move(layer, place.mean, place.factor, step))
            if not max(np.abs(mean).max(initial=0.0), np.abs(factor).max(initial=0.0)) < HUGE:
                leg.status = Status.OVERFLOW
                break
            place = Point((i + 1) * options.step, mean, factor)
            leg.points.append(place)
            leg.accepted += 1
            progress(place.t)
    except KeyboardInterrupt:
        leg.status = Status.INTERRUPTED
    leg.end = place
    return leg


@eqx.filter_jit
def _move(layer: AbstractLayer, mean: AnyArray, factor: AnyArray, step: AnyArray) -> tuple[AnyArray, AnyArray]:
    affine = layer.at_gaussian(Gaussian(mean, factor))
    moved = affine.apply(jnp.concatenate([factor, mean[:, None]], axis=1))
    return mean + step * (moved[:, -1] + affine.offset), factor + step * moved[:, :-1]


def token_layers(model: Model, start: Points, options: Options, progress: Progress) -> TokenSolution:
    """The tokens `start` (n, d) behind each of `options.layers` layers; ends with `overflow` beyond 1e120."""
    points = np.asarray(start, dtype=np.float64)
    found = TokenSolution([0.0], [points], 0.0, Status.REACHED_END)
    try:
        for i in range(options.layers or 0):
            layer, t = layer_of(model, i, options.step), (i + 1) * options.step
            if not require_convergence(layer, found.end, points, found):
                break
            velocity = np.asarray(token_velocity(layer, np.asarray(found.end), points))  # a float would be static
            points = np.asarray(points + options.step * velocity)
            found.evaluations += 1
            if not np.abs(points).max(initial=0.0) < HUGE:
                found.status = Status.OVERFLOW
                break
            found.ts.append(t)
            found.tokens.append(points)
            found.end, found.accepted = t, found.accepted + 1
            progress(t)
    except KeyboardInterrupt:
        found.status = Status.INTERRUPTED
    return found
