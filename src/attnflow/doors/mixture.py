"""`simulate_mixture`: tokens drawn from a mixture of Gaussians beside the closures of the whole and of its parts."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from .._check import BadInput, positive, times
from .._types import ArrayLike
from ..flow.leg import Options, Progress
from ..flow.mixture import flow_mixture, require_mixture_model
from ..measures.mixture import Mixture
from ..measures.tokens import Tokens
from ..transformer.at_mixture import Components
from ..transformer.depth import Depth, Model, layer_at
from ..transformer.layer import AbstractLayer
from ..transformer.mixture_defect import LeadingDefect, leading_defect
from ..transformer.mixture_rule import normal_rule
from .mixture_run import MixtureRun
from .progress import progress_bar
from .simulate import simulate

TOKEN_TOLERANCE = 1e-6
"""Tokens sample their law to 1e-2 or so: they are moved no more accurately than this."""
STEPS = 1000
"""Far more than a smooth flow takes; where components separate sharply, the closure is no longer one."""


def simulate_mixture(
    model: Model,
    start: Mixture,
    ts: ArrayLike,
    *,
    n: int = 4096,
    seed: int = 0,
    rtol: float = 1e-8,
    progress: Progress | None = None,
) -> MixtureRun:
    """What `model` makes of a mixture of Gaussians at the times `ts` (t,), in three ways that can be compared.

    Tokens: `n` of them, drawn from `start` with `seed` (each component gets its share, to rounding), moved by the token
    flow with the tolerance `rtol`, but not below 1e-6. The closure of the whole: the Gaussian flow from the moments of
    the mixture. The closure of the components: each moves by the statistical linearisation, under it, of the velocity
    that the whole mixture creates; their weights are conserved. The last is exact when that velocity is affine: linear
    attention and affine feed-forwards. `progress` is called with the time that the components, then the tokens reach.

    Blow-ups and other early ends are results: see `status` of the parts. Raises BadInput, before any computation, when
    an argument breaks a rule or the velocity of a layer at a mixture is not known.

    Source: this package, docs/theory/mixtures.md.
    """
    clock, tolerance = _checked(model, start, ts, rtol)
    count, key = _whole("n", n, least=2), _whole("seed", seed, least=0)
    end = float(clock[-1])
    with jax.enable_x64(True), progress_bar(end, progress) as report:
        require_mixture_model(model)
        points, labels = draw(start, count, seed=key)
        whole = simulate(model, start.gaussian(), clock, rtol=tolerance, progress=lambda done: None)
        parts = flow_mixture(model, start, clock, Options(rtol=tolerance, max_steps=STEPS), report)
        tokens = simulate(model, Tokens(points), clock, rtol=max(tolerance, TOKEN_TOLERANCE), seed=key, progress=report)
        return MixtureRun.of(
            parts, tokens=tokens, whole=whole, labels=labels, defect=_defect(model, start), seed=key,
            model=model, start=start,
        )  # fmt: skip


def mixture_defect(model: Model, start: Mixture) -> LeadingDefect:
    """How each component of `start` begins to stop being Gaussian under `model`; NumPy, at depth 0.

    `skewness_rate` (k,) and `residual` (k,) of the result say how fast third cumulants grow and how fast the component
    and its closure may separate; a mixture of one component is a Gaussian start.

    Raises BadInput when an argument breaks a rule or the velocity of a layer at a mixture is not known.

    Source: this package, docs/theory/mixtures.md, section 4.
    """
    _checked(model, start, [0.0], 1e-8)
    with jax.enable_x64(True):
        require_mixture_model(model)
        return _defect(model, start)


def draw(start: Mixture, n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` tokens (n, d) of the mixture `start`, drawn with `seed`, and the component that each of them is from (n,).

    Each component gets n times its weight of them, rounded so that the sum is `n`.
    """
    rng = np.random.default_rng(seed)
    shares = n * start.weights
    counts = np.floor(shares).astype(int)
    counts[np.argsort(counts - shares)[: n - counts.sum()]] += 1
    clouds = [
        np.asarray(part.mean) + rng.standard_normal((count, part.rank)) @ np.asarray(part.factor).T
        for part, count in zip(start.components, counts, strict=True)
    ]
    return np.concatenate(clouds), np.repeat(np.arange(counts.size), counts)


def _defect(model: Model, start: Mixture) -> LeadingDefect:
    parts = Components.of(start)
    found = leading_defect(layer_at(model, 0.0), parts, normal_rule(int(parts.factors.shape[2])))
    return LeadingDefect(np.asarray(found.skewness_rate), np.asarray(found.residual))


def _checked(model: Any, start: Any, ts: ArrayLike, rtol: float) -> tuple[np.ndarray, float]:
    if not isinstance(model, AbstractLayer | Depth):
        raise BadInput(
            f"`model` must be a layer, a Transformer or a Depth: {type(model).__name__} was found; give for example "
            "Transformer(attention=SoftmaxAttention(B=B, V=V), feedforward=Affine(A=A, b=b))."
        )
    if not isinstance(start, Mixture):
        raise BadInput(
            f"`start` must be a Mixture: {type(start).__name__} was found; give Mixture(weights, [Gaussian, ...]); one "
            "Gaussian alone is simulated by simulate."
        )
    with jax.enable_x64(True):
        dim = model.dim
    if dim not in (None, start.dim):
        raise BadInput(f"`model` and `start` must share one dimension d: {dim} and {start.dim} were found.")
    clock, tolerance = times("ts", ts), positive("rtol", rtol)
    if isinstance(model, Depth) and clock[-1] > model.end:
        raise BadInput(
            f"the parameters are defined up to depth {model.end:g}: the last time is {clock[-1]:g}; "
            "stop there or give parameters beyond it."
        )
    if not 1e-14 <= tolerance <= 1e-2:
        raise BadInput(f"`rtol` must lie between 1e-14 and 1e-2: {tolerance:g} was found; 1e-8 is the default.")
    return clock, tolerance


def _whole(name: str, value: Any, *, least: int) -> int:
    number = positive(name, value, zero=True)
    if number % 1 or number < least:
        raise BadInput(f"`{name}` must be a whole number, at least {least}: {number:g} was found.")
    return int(number)
