"""The numbers of Figure 4 against their references."""

from __future__ import annotations

import math

import numpy as np
import scipy.stats
import xarray as xr

from ...moments.finite_n import self_weight
from ..check import Check, close, same
from ..probe import Size
from . import fig4_numbers as numbers

NODES = 64
"""Quantiles of |x|^2 over which the own weight is averaged."""
NORMAL = 4.0
"""So many standard deviations may a mean of independent clouds be off."""
ENOUGH = 2048
"""From so many tokens on the figures for MiniLM hold."""


def expected_own_weight(dim: int, B: float, n: int) -> float:
    """The mean weight that one of `n` standard normal tokens in `dim` dimensions gives to itself, for logits B x . y.

    Source: this package, docs/theory/finite-n.md, section 2.
    """
    squares = scipy.stats.chi2(dim).ppf((np.arange(NODES) + 0.5) / NODES)
    s = abs(B) * np.sqrt(squares)
    return float(np.mean(self_weight(s, B * squares - 0.5 * np.square(s), float(n)).own))


def input_checks(data: xr.Dataset, dim: int, size: Size) -> list[Check]:
    """What holds for every network: the moments of the input, and the weight of a token for itself."""
    start = data.isel(layer=0, damping=0)
    error = NORMAL * math.sqrt(2 / (size.tokens * dim * size.batches))
    found = [close("input: trace over d", start.cov_trace.mean() / dim, 1 - 1 / size.tokens, atol=error)]
    for sign, pair in ((1, "(+, +)"), (-1, "(+, -)")):
        wanted = expected_own_weight(dim, sign * numbers.strength(dim), size.tokens)
        own = start.own_weight.sel(signs=pair).mean()
        found.append(close(f"input, B = {sign:+d} c: weight of a token for itself", own, wanted, atol=0.02))
    return found


def default_checks(data: xr.Dataset, size: Size) -> list[Check]:
    """What holds for MiniLM: the order of the sign pairs, their separation, what kind of growth it is."""
    if size.tokens < ENOUGH:
        return []
    damped, last = data.sel(damping="damped"), data.sizes["layer"] - 1
    end = {pair: damped.cov_trace.sel(signs=pair, layer=last).values for pair in numbers.SIGNS}
    small, less, large, more = (end[pair] for pair in ("(-, +)", "(+, -)", "(+, +)", "(-, -)"))
    count = size.batches
    separated = int(np.sum(large >= numbers.SEPARATION * small))
    ordered = int(np.sum((small < less) & (less < more) & (more < large)))
    bounded = int(np.sum(damped.mean_norm.sel(signs="(-, +)").max("layer").values <= 1.05))
    found = [
        same("damped: batches with a trace for (+, +) of at least 100 times that for (-, +)", separated, count),
        same("damped: batches with (-, +) < (+, -) < (-, -) < (+, +) in trace", ordered, count),
        same("damped, (-, +): batches whose mean never exceeds 1.05", bounded, count),
    ]
    return [*found, *_references(end, size), *_growth(damped, last), *_undamped(data, size)]


def _references(end: dict[str, np.ndarray], size: Size) -> list[Check]:
    """The mean of the traces against the separate program, within the noise of both."""
    if size.tokens != numbers.TOKENS:
        return []
    error = NORMAL * math.sqrt(1 / size.batches + 1 / numbers.CLOUDS)
    return [
        close(
            f"damped, {pair}: trace behind the last block", values.mean(), numbers.TRACE[pair],
            rtol=error * numbers.SPREAD[pair] / numbers.TRACE[pair],
        )
        for pair, values in end.items()
    ]  # fmt: skip


def _growth(damped: xr.Dataset, last: int) -> list[Check]:
    """It is the growth of tokens that attend to themselves, which n keys predict and the mean field does not."""
    trace, theory = damped.cov_trace.mean("batch"), damped.flow_trace
    growing = trace.sel(signs="(+, +)")
    rate = float(growing.sel(layer=last) / growing.sel(layer=0)) ** (1 / last)
    first = float(trace.sel(signs="(-, +)", layer=1) / trace.sel(signs="(-, +)", layer=0))
    own = damped.own_weight.sel(signs="(+, +)").mean("batch").min()
    found = [
        close("damped, (+, +): weight of a token for itself, smallest over the layers", own, 1.0, atol=0.1),
        close("damped, (+, +): growth of the trace a layer against (1 + a)^2", rate, (1 + numbers.A) ** 2, rtol=0.05),
        close("damped, (-, +): the first layer against (1 - a)^2", first, (1 - numbers.A) ** 2, rtol=0.1),
    ]
    for pair in ("(-, +)", "(+, -)", "(+, +)"):
        ratio = theory.sel(signs=pair, flow="finite_n", layer=last) / trace.sel(signs=pair, layer=last)
        found.append(
            close(f"damped, {pair}: last trace of the Gaussian of n keys over that of tokens", ratio, 1.0, atol=0.1)
        )
    far = theory.sel(flow="mean_field", layer=last) / trace.sel(layer=last)
    off = [pair for pair in numbers.SIGNS if not 0.5 < float(far.sel(signs=pair)) < 2]
    return [
        *found,
        same(
            "damped: pairs whose last trace the mean field misses by a factor above 2",
            ", ".join(off),
            "(-, +), (+, +), (-, -)",
        ),
    ]


def _undamped(data: xr.Dataset, size: Size) -> list[Check]:
    """The feed-forwards of MiniLM alone make the trace grow: without damping no pair is bounded."""
    trace = data.cov_trace.sel(damping="undamped")
    grown = int(np.sum(trace.isel(layer=-1).values >= 100 * trace.isel(layer=0).values))
    return [same("undamped: courses whose trace grows by a factor of at least 100", grown, 4 * size.batches)]
