"""What happens to the tokens from layer to layer, in words."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from . import fields_states as states
from .thresholds import (
    APART,
    COLLAPSE,
    DRAWN_TOGETHER,
    GAINS,
    GROWTH,
    GROWTH_STEP,
    MASSIVE,
    NOISE,
    NON_GAUSSIAN,
    RANK_FALL,
    STEPS,
    UNEVEN,
)  # fmt: skip
from .verdict_change import Change, change_between, first_reaching, largest_fall, largest_rise
from .verdict_finding import Finding, Kind, Part, measured, percent, short

SINGLE = float(np.finfo(np.float32).eps)


def growth(layers: xr.Dataset, *, bounded_by_norm: bool) -> Part:
    """What the trace of the covariance does; `bounded_by_norm`: a norm fixes it up to a gain, and growth is no word."""
    if bounded_by_norm:
        return Part(findings=_normed(layers))
    different = np.flatnonzero(~_equal(layers))
    if different.size == 0 or different[0] == layers.sizes["layer"] - 1:
        return Part()  # equal tokens have no trace to speak of, see `concentration`
    values = states.rows(layers, "cov_trace")
    middle = states.median(values)
    change = change_between(values, int(different[0]), middle.size - 1)
    size = (
        f"trace {'falls' if change.after < change.before else 'grows'} {short(change.before)} to {short(change.after)}"
    )
    if not change.clear or change.factor < GROWTH.value:
        low, high = short(middle[change.start :].min()), short(middle[change.start :].max())
        count = change.end - change.start
        where = f"at {low}" if low == high else f"between {low} and {high}"
        return Part(findings=(measured(f"the trace stays {where} in these {count} layers"),))
    if change.after < change.before:
        return Part((f"{size} {change.layers}: the tokens contract",), (measured(f"{size} {change.layers}"),))
    return _grown(middle, change, size)


def _grown(middle: Float[np.ndarray, " l1"], change: Change, size: str) -> Part:
    """A trace that grows in many layers, or in one jump."""
    before = middle[change.start : -1]
    steps = np.divide(middle[change.start + 1 :], before, out=np.zeros_like(before), where=before > 0)
    jump = int(np.argmax(steps)) + change.start
    largest = short(steps[jump - change.start])
    if np.mean(steps >= GROWTH_STEP.value) < STEPS.value:
        text = f"{size}, most of it in one step, {largest} times from layer {jump} to {jump + 1}"
        return Part((f"{size} {change.layers}",), (measured(text),))
    rate = f"{short(change.factor ** (1.0 / steps.size))} times"
    even = steps.max() <= UNEVEN.value * steps.min()
    each = f"{rate} in each layer" if even else f"{rate} a layer on average (largest step {largest}, layer {jump + 1})"
    return Part((f"{size} {change.layers}: blows up",), (measured(f"{size}, {each}"),))


def _normed(layers: xr.Dataset) -> tuple[Finding, ...]:
    """What a norm at the end of each block fixes, and what it leaves to its gain."""
    fixed = "each block ends in a norm, which fixes the size of a token up to the gain of that norm"
    trace = states.path(layers, "cov_trace")
    known = np.where(_equal(layers) | ~(trace > 0), np.nan, trace)
    steady = (Finding(f"{fixed}: a steady trace is no sign of stability", Kind.CONSTRUCTION),)
    if np.count_nonzero(~np.isnan(known)) < 2:
        return steady
    start, end = sorted((int(np.nanargmin(known)), int(np.nanargmax(known))))
    change = change_between(states.rows(layers, "cov_trace"), start, end)
    if change.factor <= GAINS.value:
        return steady
    size = trace + np.square(states.path(layers, "mean_norm"))
    low, high = sorted((size[start], size[end]))
    gained = high > GAINS.value * low
    why = "the gains of the norms" if gained else f"|mean|^2 + trace changes by a factor of {short(high / low)} only"
    text = f"the trace goes from {short(change.before)} to {short(change.after)} {change.layers}: {why}"
    return (Finding(fixed, Kind.CONSTRUCTION), measured(text))


def concentration(layers: xr.Dataset) -> Part:
    """Whether tokens become one, or keep apart in fewer directions: never the one in the words of the other."""
    cosine = states.rows(layers, "token_cosine")
    equal = _equal(layers)
    rise = largest_rise(cosine)
    middle = states.median(cosine)
    top = float(np.fmax.reduce(middle))
    alike = _all_equal(layers, equal) if equal.any() else ()
    if equal[0]:
        return Part(alike, tuple(map(measured, alike)))
    if top >= COLLAPSE.value:
        one = _one(middle, rise, top)
        return Part(one.clauses, (*one.findings, *map(measured, alike)))
    if alike:
        return Part(tuple(f"{text}: token collapse" for text in alike), tuple(map(measured, alike)))
    fallen = _fallen(layers, top)
    drawn: tuple[Finding, ...] = ()
    if rise is not None and rise.clear and rise.after - rise.before >= DRAWN_TOGETHER.value:
        drawn = (measured(f"tokens draw together: cosine {short(rise.before)} to {short(rise.after)} {rise.layers}"),)
    return Part(fallen.clauses, (*fallen.findings, *drawn))


def _one(middle: Float[np.ndarray, " l1"], rise: Change | None, top: float) -> Part:
    """Tokens whose mean cosine is near one at some layer: since when."""
    if rise is not None and rise.clear and rise.after >= COLLAPSE.value > rise.before:
        words = f"token cosine rises {short(rise.before)} to {short(rise.after)} {rise.layers}"
        text = f"{words}: the tokens become one; that is no loss of rank"
        return Part((f"{words}: token collapse",), (measured(text),))
    first = 0 if middle[0] >= COLLAPSE.value else first_reaching(middle, top)
    already = " already" if first == 0 else ""
    text = f"tokens point the same way at layer {first}{already} (mean cosine {short(middle[first])})"
    return Part((f"token cosine {short(middle[first])} at layer {first}: tokens are one",), (measured(text),))


def _fallen(layers: xr.Dataset, top: float) -> Part:
    """Tokens that concentrate in fewer directions while their mean cosine is `top` at most."""
    fall = largest_fall(states.rows(layers, "effective_rank"))
    if fall is None or not fall.clear or fall.factor < RANK_FALL.value:
        return Part()
    words = f"falls {short(fall.before)} to {short(fall.after)} {fall.layers}"
    within = " within a sequence" if states.repeats(layers) == "sequence" else ""
    whole = _together(layers, fall)
    named = within if whole else ""
    place = "within a sequence the " if within else ""
    text = f"{place}effective rank {words}, while tokens do not become one (largest mean cosine {short(top)})"
    return Part((f"rank{named} {words}: anisotropic concentration",), (measured(text), *whole))


def _together(layers: xr.Dataset, fall: Change) -> tuple[Finding, ...]:
    """What all tokens together do if their rank rises where that within a sequence falls."""
    if "pooled_effective_rank" not in layers or "pooled_token_cosine" not in layers:
        return ()
    rank, cosine = (states.path(layers, f"pooled_{name}") for name in ("effective_rank", "token_cosine"))
    before, after = rank[fall.start], rank[fall.end]
    if not after >= APART.value * before:
        return ()
    near, far = cosine[fall.start], cosine[fall.end]
    numbers = f"effective rank {short(before)} to {short(after)}, cosine {short(near)} to {short(far)}"
    apart = ": sequences move apart" if far < near else ""
    return (measured(f"all tokens together: {numbers} {fall.layers}{apart}"),)


def _equal_rows(layers: xr.Dataset) -> Bool[np.ndarray, "s l1"]:
    """Where several tokens are all equal, or differ by no more than the rounding of their mean in single precision."""
    trace, mean = states.rows(layers, "cov_trace"), states.rows(layers, "mean_norm")
    equal = trace <= layers.sizes.get("eigenvalue", 1) * np.square(SINGLE * mean)
    if "numerical_rank" in layers:
        equal |= states.rows(layers, "numerical_rank") == 0
    return np.asarray(equal & (states.rows(layers, "tokens") > 1).reshape(-1, 1))


def _equal(layers: xr.Dataset) -> Bool[np.ndarray, " l1"]:
    """The layers in which that is so in almost all sequences or batches."""
    return np.asarray(_equal_rows(layers).mean(axis=0) >= NOISE.value)


def _all_equal(layers: xr.Dataset, equal: Bool[np.ndarray, " l1"]) -> tuple[str, ...]:
    """From which layer on, or at which layers, all tokens are `equal`, and whether they are zero."""
    first = int(np.flatnonzero(equal)[0])
    zero = states.path(layers, "mean_norm")[equal].max() == 0.0
    where = f"from layer {first} on"
    if not equal[first:].all():
        last = first + int(np.flatnonzero(~equal[first:])[0]) - 1
        where = f"at layer {first}" if last == first else f"from layer {first} to {last}"
    return (f"all tokens are {'zero' if zero else 'equal'} {where}",)


def massive(layers: xr.Dataset) -> Part:
    """Whether a noticeable share of the tokens has a massive coordinate, and which one."""
    counted = np.where(_equal_rows(layers), 0.0, states.rows(layers, "massive_share"))
    shares = counted.mean(axis=0)
    layer = int(np.argmax(shares))
    if shares[layer] < MASSIVE.value:
        return Part()
    first = int(np.flatnonzero(shares >= MASSIVE.value)[0])
    where = _channel(layers, layer, float(shares[layer]))
    text = f"massive activations in {percent(float(shares[layer]))} of the tokens at layer {layer}"
    return Part((f"massive activations from layer {first}",), (measured(f"{text}, from layer {first} on{where}"),))


def _channel(layers: xr.Dataset, layer: int, whole: float) -> str:
    """The coordinate that is massive in the most tokens, and in which share of them; `whole` is that of any.

    A sequence keeps its three first coordinates only, so that the mean share of one is at least what is known of it.
    """
    if "massive_channel" not in layers or "massive_channel_share" not in layers:
        return ""
    names = states.rows(layers, "massive_channel")[:, layer].astype(int)
    parts = np.where(names >= 0, states.rows(layers, "massive_channel_share")[:, layer], 0.0)
    known = np.unique(names[names >= 0])
    if not known.size:
        return ""
    means = np.array([parts[names == channel].sum() for channel in known]) / len(names)
    channel, share = int(known[np.argmax(means)]), float(means.max())
    hidden = np.any((names >= 0).all(axis=1) & (names != channel).all(axis=1))
    often = "mostly" if share > 0.5 * whole else "most often"
    return f", {often} coordinate {channel}, in {'at least ' if hidden else ''}{percent(share)} of the tokens"


def gaussianity(layers: xr.Dataset) -> Part:
    """From which layer on the tokens are further from Gaussian than sampling alone would make them."""
    excess = np.where(_equal_rows(layers), np.nan, states.excess(layers))
    middle = states.median(excess)
    if np.isnan(middle).all():
        one = np.all(states.rows(layers, "tokens") <= 1)
        return Part(
            findings=(measured(f"{'a single token' if one else 'all tokens are equal'}: no distribution to compare"),)
        )
    known = np.maximum(np.count_nonzero(~np.isnan(excess), axis=0), 1)
    with_noise = np.count_nonzero(excess > 1.0, axis=0) / known >= NOISE.value
    beyond = np.flatnonzero((middle >= NON_GAUSSIAN.value) & with_noise)
    if not beyond.size:
        but = ", where the tokens are not all equal" if np.isnan(middle).any() else ""
        return Part(findings=(measured(f"the sliced W2 to the Gaussian is at its floor{but}: no departure is seen"),))
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
