"""All inputs through a network, one after the other: finished ones are kept, and one that overflows stops no other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._check import BadInput
from ...files.checkpoint import Checkpoint
from ...measures.sliced import unit_directions
from ..progress import progress_bar
from .inputs import Inputs
from .other import Other
from .pool import shares
from .row import Measuring, Overflowed, Row, chosen

DIRECTIONS = 256
PATIENCE = 20.0
"""Seconds between two checkpoints."""
FEW, ENOUGH, MOST = 8, 2048, 4
"""With fewer inputs than FEW, a ceiling is the mean over clouds of ENOUGH tokens together, but at most MOST clouds."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """The `rows` of the inputs number `done`; `overflow`: the layer at which other inputs grew beyond all bounds.

    A layer of -1 means that `against` did. `interrupted` says that inputs are missing.
    """

    rows: list[Row]
    done: tuple[int, ...]
    overflow: dict[int, int]
    interrupted: bool


def look_through(
    encoder: Any, inputs: Inputs, other: Other | None, checkpoint: Checkpoint, *, kept: int, stop: Callable[[], None]
) -> Seen:
    """The measurements of all `inputs` of `encoder`, and what `other` makes of them.

    `checkpoint` holds what was finished before, and what is finished when Ctrl-C ends the work. Of the first Gaussian
    cloud `kept` tokens are kept as they are. `stop` raises KeyboardInterrupt when somebody asked for it.

    Raises BadInput when every input overflows, KeyboardInterrupt when nothing is finished yet.
    """
    count, depth, attentions = len(inputs.labels), encoder.layers + 1, encoder.attentions
    rows = {i: row for i, row in checkpoint.read().items() if i < count}
    samples = shares(inputs.sizes) if inputs.real else (kept,) + (0,) * (count - 1)
    written, done = time.monotonic(), len(rows) * depth
    interrupted = False
    with progress_bar(count * depth, words=f"{encoder.name}: layers") as report:

        def step() -> None:
            nonlocal done
            done += 1
            report(done)
            stop()

        try:
            for i in range(count):
                if i not in rows:
                    rows[i] = _row_or_overflow(attentions, inputs, other, i, kept=samples[i], on_layer=step)
                    stop()
                if time.monotonic() - written > PATIENCE:
                    checkpoint.write(rows)
                    written = time.monotonic()
        except KeyboardInterrupt:
            if all("overflow" in row for row in rows.values()):
                raise
            checkpoint.write(rows)
            interrupted = True
    overflow = {i: int(rows[i]["overflow"]) for i in sorted(rows) if "overflow" in rows[i]}
    finished = tuple(i for i in sorted(rows) if i not in overflow)
    if not finished:
        raise BadInput(_all_lost(encoder, inputs, overflow))
    return Seen([rows[i] for i in finished], finished, overflow, interrupted)


def _row_or_overflow(
    attentions: Any, inputs: Inputs, other: Other | None, i: int, *, kept: int, on_layer: Callable[[], None]
) -> Row:
    try:
        row = _row(attentions, inputs, i, kept=kept, on_layer=on_layer)
    except Overflowed as error:
        return {"overflow": np.array(error.layer)}
    try:
        return row if other is None else row | other.look(i)
    except Overflowed:
        return {"overflow": np.array(-1)}


def _row(attentions: Any, inputs: Inputs, i: int, *, kept: int, on_layer: Callable[[], None]) -> Row:
    """The measurements of input number i, with what a comparison needs of it."""
    seed, few = inputs.seeds[i], len(inputs.labels) < FEW
    draws = min(max(ENOUGH // inputs.sizes[i], 1), MOST) if few else 1
    visit = Measuring(attentions, _axes(inputs, i), seed=seed, kept=kept, draws=draws, on_layer=on_layer)
    began = time.perf_counter()
    output = inputs.run(i, visit)
    forward = time.perf_counter() - began - visit.seconds
    row = visit.row() | {"seconds": np.array([forward, visit.seconds])}
    if inputs.real:
        return row | {"item_state": row["layer_mean"][None], "item_output": np.atleast_2d(output)}
    rows = chosen(inputs.sizes[i], kept, seed)
    return row | {"item_state": np.moveaxis(row["sample"], 0, 1), "item_output": output[rows]}


def _axes(inputs: Inputs, i: int) -> np.ndarray:
    """Directions of their own for each input, so that the bands show what the choice of directions does."""
    return np.asarray(unit_directions(inputs.dim, DIRECTIONS, inputs.seeds[i]))


def _all_lost(encoder: Any, inputs: Inputs, overflow: dict[int, int]) -> str:
    if all(layer < 0 for layer in overflow.values()):
        return "`against` must compute finite numbers: it overflows, or gives NaN, on every input; look at its weights."
    first = min(layer for layer in overflow.values() if layer >= 0)
    return (
        f"`{encoder.name}` blows up: every input is beyond 1e15, or not a number, from layer {first} on; look for NaN "
        "or huge weights there."
    )
