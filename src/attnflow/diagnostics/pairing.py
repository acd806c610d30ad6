"""Two models on the same inputs: outputs, neighbours, drift by layer, and the inputs that moved most."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from .._check import BadInput, require_finite
from .pairing_drift import Drift, drift_by_layer, percentile_interval, resample_counts
from .pairing_neighbours import neighbour_overlap, row_cosines

NEIGHBOURS = 10
FEWEST = NEIGHBOURS + 2  # with fewer inputs every other input is a neighbour
CHANCE = 0.1


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What a model makes of n inputs: the pooled `output` (n, p), and one vector for each layer in `states`.

    `states` (n, l+1, d) holds, for each input, the mean over its tokens of the states 0 to l; None if unknown.
    """

    output: Float[np.ndarray, "n p"]
    states: Float[np.ndarray, "n l1 d"] | None = None


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Of the nearest `neighbours` of each input, the share that is kept: `each` (n,), their `mean`.

    `low` and `high` bound a 95 % bootstrap interval of the mean; `chance` is the mean overlap of unrelated outputs.
    """

    neighbours: int
    each: Float[np.ndarray, " n"]
    mean: float
    low: float
    high: float
    chance: float


@dataclasses.dataclass(frozen=True)
class Moved:
    """One input: its `index`, the `cosine` of its two outputs, the share `overlap` of neighbours that it keeps."""

    index: int
    cosine: float | None
    overlap: float | None


@dataclasses.dataclass(frozen=True)
class Pairing:
    """Two models on the same `inputs`.

    `cosine` (n,) of the two outputs of each input, None when they differ in width; `overlap` of the nearest
    neighbours, None for fewer than 12 inputs; `drift` by layer, None when width or depth differ; `identical` when all
    outputs and states agree to the last bit; `notes` say what is missing and why.
    """

    inputs: int
    cosine: Float[np.ndarray, " n"] | None
    overlap: Overlap | None
    drift: Drift | None
    identical: bool
    notes: tuple[str, ...]

    def moved(self, count: int = 10) -> tuple[Moved, ...]:
        """The `count` inputs that moved most: smallest cosine first, or smallest overlap without cosines."""
        none = np.zeros(self.inputs)
        cosine = none if self.cosine is None else self.cosine
        overlap = none if self.overlap is None else self.overlap.each
        order = np.lexsort((np.arange(self.inputs), overlap, cosine))[:count]
        return tuple(
            Moved(
                int(i),
                None if self.cosine is None else float(cosine[i]),
                None if self.overlap is None else float(overlap[i]),
            )
            for i in order
        )


def pair_outputs(first: Outputs, second: Outputs, *, seed: int = 0) -> Pairing:
    """Compare what two models make of the same inputs: how far `first` is from `second`, the reference.

    `seed` draws the bootstrap. A rotation or a change of scale between the models is not removed: neighbours do not see
    it, cosines do not see a scale, the drift sees both.

    Raises BadInput when the numbers of inputs differ, there are none, or an output is zero or not finite.

    Source: this package, docs/theory/drift.md.
    """
    inputs = _check(first, second)
    counts = resample_counts(inputs, seed=seed)
    overlap, about_overlap = _overlap(first.output, second.output, counts)
    drift, about_drift = _drift(first.states, second.states, counts)
    p, q = first.output.shape[1], second.output.shape[1]
    about_cosine = () if p == q else (f"no cosine of the outputs: they have {p} and {q} coordinates",)
    return Pairing(
        inputs=inputs,
        cosine=row_cosines(first.output, second.output) if p == q else None,
        overlap=overlap,
        drift=drift,
        identical=np.array_equal(first.output, second.output) and _same(first.states, second.states),
        notes=(*about_cosine, *about_overlap, *about_drift),
    )


def _overlap(
    output: Float[np.ndarray, "n p"], other: Float[np.ndarray, "n q"], counts: Float[np.ndarray, "1000 n"]
) -> tuple[Overlap | None, tuple[str, ...]]:
    n = len(output)
    if n < FEWEST:
        return None, (f"no overlap of neighbours: {n} input{'s' * (n != 1)}; it needs {FEWEST}, and 100 to say much",)
    chance = NEIGHBOURS / (n - 1)
    each = neighbour_overlap(output, other, neighbours=NEIGHBOURS)
    low, high = percentile_interval(counts @ each / n)
    found = Overlap(NEIGHBOURS, each, float(each.mean()), float(low), float(high), chance)
    if chance <= CHANCE:
        return found, ()
    return found, (f"{n} inputs: unrelated outputs would keep {100 * chance:.0f} % of their neighbours by chance",)


def _drift(
    states: Float[np.ndarray, "n l1 d"] | None,
    other: Float[np.ndarray, "n m1 e"] | None,
    counts: Float[np.ndarray, "1000 n"],
) -> tuple[Drift | None, tuple[str, ...]]:
    if states is None or other is None:
        return None, ("no drift by layer: the states of the layers were not kept",)
    (n, depth, width), (_, other_depth, other_width) = states.shape, other.shape
    if (depth, width) != (other_depth, other_width):
        here, there = (
            f"{layers - 1} layers of width {d}" for layers, d in ((depth, width), (other_depth, other_width))
        )
        return None, (f"no drift by layer: {here} and {there} do not match",)
    drift = drift_by_layer(states, other, counts=counts)
    if drift is None:
        return None, ("no drift by layer: in some layer of the other model the inputs do not differ",)
    return drift, (f"{n} inputs: the intervals of the drift are rough",) * (n < FEWEST)


def _same(states: Float[np.ndarray, "n l1 d"] | None, other: Float[np.ndarray, "n m1 e"] | None) -> bool:
    return states is None or other is None or np.array_equal(states, other)


def _check(first: Outputs, second: Outputs) -> int:
    """The number of inputs.

    Raises BadInput when the two models cannot be compared.
    """
    inputs = len(first.output)
    if inputs == 0:
        raise BadInput("`first` must hold at least one input: it is empty; give some.")
    for name, side in (("first", first), ("second", second)):
        for field, value in (("output", side.output), ("states", side.states)):
            if value is None:
                continue
            if len(value) != inputs:
                raise BadInput(
                    f"`{name}.{field}` must hold the inputs of `first.output`: {len(value)} and {inputs} were found; "
                    "run both models again."
                )
            require_finite(f"{name}.{field}", value)
        zero = np.flatnonzero(~side.output.any(axis=1))
        if zero.size:
            raise BadInput(f"`{name}.output` must not be zero: that of input {zero[0]} is; leave this input out.")
    return inputs
