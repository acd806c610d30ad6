"""What happens to the tokens from layer to layer, in words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import xarray as xr

from . import fields_states as states
from .thresholds import COLLAPSE, DRAWN_TOGETHER, GROWTH, GROWTH_STEP, MASSIVE, NOISE, NON_GAUSSIAN, RANK_FALL, STEPS
from .verdict_change import change_between, largest_fall, largest_rise
from .verdict_finding import Finding, Kind, Part, measured, percent, short


def growth(layers: xr.Dataset, *, bounded_by_norm: bool) -> Part:
    """What the trace of the covariance does; nothing is said of growth where a norm fixes it, `bounded_by_norm`."""
    if bounded_by_norm:
        text = "each block ends in a norm, which fixes the size of a token: the trace is no sign of stability"
        return Part(findings=(Finding(text, Kind.CONSTRUCTION),))
    values = states.rows(layers, "cov_trace")
    middle = states.median(values)
    change = change_between(values, 0, middle.size - 1)
    size = (
        f"trace {'falls' if change.after < change.before else 'grows'} {short(change.before)} to {short(change.after)}"
    )
    if not change.clear or change.factor < GROWTH.value:
        low, high = short(middle.min()), short(middle.max())
        return Part(findings=(measured(f"the trace stays between {low} and {high} in these {middle.size - 1} layers"),))
    if change.after < change.before:
        return Part((f"{size} {change.layers}: the tokens contract",), (measured(f"{size} {change.layers}"),))
    steps = middle[1:] / middle[:-1]
    if np.mean(steps >= GROWTH_STEP.value) >= STEPS.value:
        rate = short(change.factor ** (1.0 / steps.size))
        return Part((f"{size} {change.layers}: blows up",), (measured(f"{size}, {rate} times in each layer"),))
    jump = int(np.argmax(steps))
    text = f"{size}, most of it in one step, {short(steps[jump])} times from layer {jump} to {jump + 1}"
    return Part((f"{size} {change.layers}",), (measured(text),))


def concentration(layers: xr.Dataset) -> Part:
    """Whether tokens become one, or keep apart in fewer directions: never the one in the words of the other."""
    cosine = states.rows(layers, "token_cosine")
    rise = largest_rise(cosine)
    highest = int(np.argmax(states.median(cosine)))
    top = float(states.median(cosine)[highest])
    if top >= COLLAPSE.value:
        if rise is None or not rise.clear or rise.after < COLLAPSE.value:
            text = f"tokens point the same way at layer {highest} (mean cosine {short(top)}), as they did at layer 0"
            return Part((f"token cosine {short(top)} at layer {highest}: tokens are one",), (measured(text),))
        words = f"token cosine rises {short(rise.before)} to {short(rise.after)} {rise.layers}"
        text = f"{words}: the tokens become one; that is no loss of rank"
        return Part((f"{words}: token collapse",), (measured(text),))
    clauses, findings = [], []
    fall = largest_fall(states.rows(layers, "effective_rank"))
    if fall is not None and fall.clear and fall.factor >= RANK_FALL.value:
        words = f"rank falls {short(fall.before)} to {short(fall.after)} {fall.layers}"
        clauses.append(f"{words}: anisotropic concentration")
        findings.append(
            measured(f"effective {words}, while tokens do not become one (largest mean cosine {short(top)})")
        )
    if rise is not None and rise.clear and rise.after - rise.before >= DRAWN_TOGETHER.value:
        findings.append(
            measured(f"tokens draw together: cosine {short(rise.before)} to {short(rise.after)} {rise.layers}")
        )
    return Part(tuple(clauses), tuple(findings))


def massive(layers: xr.Dataset) -> Part:
    """Whether a noticeable share of the tokens has a massive coordinate, and which one."""
    shares = states.average(layers, "massive_share")
    layer = int(np.argmax(shares))
    if shares[layer] < MASSIVE.value:
        return Part()
    first = int(np.flatnonzero(shares >= MASSIVE.value)[0])
    channel = _channel(layers, layer)
    where = "" if channel is None else f", mostly coordinate {channel}"
    text = f"massive activations in {percent(float(shares[layer]))} of the tokens at layer {layer}"
    return Part((f"massive activations from layer {first}",), (measured(f"{text}, from layer {first} on{where}"),))


def _channel(layers: xr.Dataset, layer: int) -> int | None:
    """The coordinate that is the most massive one in the most sequences or batches."""
    if "massive_channel" not in layers:
        return None
    found = layers["massive_channel"].isel(layer=layer, rank=0).to_numpy().ravel()
    known = Counter(int(c) for c in found if c >= 0)
    return known.most_common(1)[0][0] if known else None


def gaussianity(layers: xr.Dataset) -> Part:
    """From which layer on the tokens are further from Gaussian than sampling alone would make them."""
    excess = states.excess(layers)
    middle = states.median(excess)
    with_noise = np.mean(excess > 1.0, axis=0) >= NOISE.value
    beyond = np.flatnonzero((middle >= NON_GAUSSIAN.value) & with_noise)
    if not beyond.size:
        return Part(findings=(measured("the sliced W2 to the Gaussian is at its floor: no departure is seen"),))
    largest = int(beyond[np.argmax(middle[beyond])])
    text = (
        f"tokens are not Gaussian from layer {beyond[0]} on: sliced W2 up to {short(middle[largest])} times its floor"
    )
    return Part(findings=(measured(f"{text} (layer {largest})"),))


def population(layers: xr.Dataset, *, dim: int) -> Part:
    """A note on short sequences, whose rank cannot be large, in dimension `dim`; and on a single one, without noise."""
    notes = []
    tokens = states.rows(layers, "tokens")
    if np.median(tokens) <= dim:
        n = int(np.median(tokens))
        notes.append(f"a {states.repeats(layers)} has {n} tokens (median), so that its rank is at most {max(n - 1, 0)}")
    if len(tokens) == 1:
        notes.append(f"one {states.repeats(layers)} only: the noise is not known")
    return Part(findings=tuple(Finding(note, Kind.NOTE) for note in notes))
