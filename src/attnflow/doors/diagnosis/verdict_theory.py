"""How far the Gaussian theory can be trusted in a network, in words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import xarray as xr

from ...diagnostics.attention_trust import SHARP
from . import fields_states as states
from .thresholds import TRUSTED_CEILING, TRUSTED_FIT
from .verdict_finding import Finding, Kind, Part, measured, short


def trust(layers: xr.Dataset) -> Part:
    """In which layers the Gaussian prediction is trusted, and why not in the others; blocks count from 0."""
    known, held = states.predicted(layers), states.trusted(layers)
    missing = _missing(layers, known) + _coverage(layers, known)
    if not known.any():
        return Part(("no prediction",), missing)
    count, total = int(held.sum()), int(known.sum())
    of_all = f"{total} layers" if known.all() else f"{total} layers with a prediction"
    if count == 0:
        return Part(("theory not valid here",), (measured(f"not trusted in any of {of_all}"), *_why(layers), *missing))
    blind = _any_law(layers) & held
    fits = ", as with any law of the same moments" if blind.sum() == count else ""
    share = f"all {of_all}" if count == total else f"{count} of {of_all}"
    text = f"the Gaussian prediction is trusted in {share}" + ("" if count == total else f" ({_listed(held)})")
    evidence: tuple[Finding, ...] = ()
    if blind.any():
        which = "there" if blind.sum() == count else f"in {_listed(blind)}"
        evidence = (measured(f"{which} any law with the same moments fits as well: no evidence for Gaussian tokens"),)
    return Part((f"theory valid in {share}{fits}",), (measured(text), *evidence, *_why(layers), *missing))


def sign_conditions(layers: xr.Dataset, *, dim: int) -> Part:
    """That no head can meet the sign conditions of Theorems 4.5 and 4.6 when its rank is below `dim`.

    A head's B = K^T Q vanishes as a quadratic form where Q x = 0, so that its symmetric part is not definite.

    Source: :cite:alcalde2026, Thm. 4.5 and 4.6.
    """
    if "rank_B" not in layers or "rank_V" not in layers:
        return Part()
    ranks = np.concatenate([layers[name].to_numpy().ravel() for name in ("rank_B", "rank_V")])
    ranks = ranks[~np.isnan(ranks.astype(np.float64))]
    if not ranks.size or ranks.max() >= dim:
        return Part()
    text = (
        f"Theorems 4.5 and 4.6 hold for definite B and V; the heads have rank {int(ranks.max())} at most in "
        f"dimension {dim}, so that none is definite"
    )
    return Part(findings=(Finding(text, Kind.THEOREM),))


def sharpness(layers: xr.Dataset) -> Part:
    """Which heads have a logit variance beyond 2 log n, where single keys hold the weight."""
    excess = states.logit_excess(layers)
    heads = int(np.count_nonzero(~np.isnan(excess)))
    sharp = np.nan_to_num(excess, nan=0.0) > 1.0
    if not sharp.any():
        return Part()
    text = f"logit variance beyond 2 log n in {int(sharp.sum())} of {heads} heads ({_listed(sharp.any(axis=1))})"
    return Part(findings=(measured(f"{text}: single keys hold the weight there"),))


def _why(layers: xr.Dataset) -> tuple[Finding, ...]:
    """Why the layers that have a prediction and are not trusted are not, by cause."""
    lost = states.predicted(layers) & ~states.trusted(layers)
    ceiling = states.median(states.best_r2(layers, "_ceiling"))
    best = states.median(states.best_r2(layers))
    few = lost & (ceiling <= TRUSTED_CEILING.value)
    far = lost & ~few
    found = []
    sharp = few & (np.nan_to_num(states.logit_excess(layers), nan=0.0).max(axis=1, initial=0.0) > SHARP)
    if sharp.any():
        found.append(f"{_listed(sharp)}: too few keys hold the weight, even for Gaussian tokens")
    if (noisy := few & ~sharp).any():
        words = "the noise of finitely many keys hides what varies between queries, even for Gaussian tokens"
        found.append(f"{_listed(noisy)}: {words}")
    if far.any():
        worst = int(np.argmin(np.where(far, best, np.inf)))
        numbers = f"R^2 down to {short(best[worst])} (block {worst}), {short(ceiling[worst])} for Gaussian tokens"
        found.append(f"{_listed(far)}: the tokens are not Gaussian enough, {numbers}")
    return tuple(map(measured, found))


def _any_law(layers: xr.Dataset) -> np.ndarray:
    """Where tokens of another law with the same moments are predicted as well as Gaussian ones."""
    control = states.median(states.best_r2(layers, "_control"))
    ceiling = states.median(states.best_r2(layers, "_ceiling"))
    return np.asarray(np.nan_to_num(control - TRUSTED_FIT.value * ceiling, nan=-np.inf) >= 0.0)


def _coverage(layers: xr.Dataset, known: np.ndarray) -> tuple[Finding, ...]:
    """How many inputs a prediction rests on, where it is not most of them."""
    share = np.mean(~np.isnan(states.best_r2(layers)), axis=0)[known]
    if not share.size or share.min() >= 0.5:
        return ()
    text = f"predictions exist for {100 * share.min():.0f} % of the inputs only: the others have too few tokens"
    return (Finding(text, Kind.NOTE),)


def _missing(layers: xr.Dataset, known: np.ndarray) -> tuple[Finding, ...]:
    """Why layers have no prediction, one finding for each reason."""
    reasons = Counter(str(r) for r in layers["reason"].to_numpy()[~known])
    found = []
    for reason in reasons:
        where = ~known & (layers["reason"].to_numpy().astype(str) == reason)
        found.append(Finding(f"{_listed(where)}: {reason}", Kind.NO_PREDICTION))
    return tuple(found)


def _listed(blocks: np.ndarray) -> str:
    """Some blocks by number, with runs drawn together: blocks 0 to 2, 5."""
    runs: list[list[int]] = []
    for block in np.flatnonzero(blocks):
        if runs and block == runs[-1][-1] + 1:
            runs[-1].append(int(block))
        else:
            runs.append([int(block)])
    name = "block" if np.count_nonzero(blocks) == 1 else "blocks"
    return f"{name} " + ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]} to {r[-1]}" for r in runs)
