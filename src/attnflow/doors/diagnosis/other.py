"""The other side of a comparison: a network that sees the same inputs, or what a saved diagnosis kept of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._check import BadInput
from .inputs import Inputs, gaussian_inputs, image_inputs, state_inputs, text_inputs
from .row import Row, chosen
from .source import SavedStates, open_source

if TYPE_CHECKING:
    from .diagnosis import Diagnosis


class Other:
    """What a diagnosis is held against: `name`, `fingerprint`, `shape` (layers, width), and `look(i)` at input i.

    `look` gives `other_state` (items, layers + 1, d) and `other_output` (items, p) of that input, like the rows of the
    diagnosis itself.
    """

    def __init__(self, name: str, fingerprint: str, shape: tuple[int, int], look: Callable[[int], Row]) -> None:
        self.name, self.fingerprint, self.shape, self.look = name, fingerprint, shape, look


class _Means:
    """A visit that keeps the mean of each state, or `rows` of its tokens."""

    def __init__(self, rows: np.ndarray | None) -> None:
        self.rows, self.found = rows, list[np.ndarray]()

    def __call__(self, layer: int, inside: Any) -> None:
        state = np.asarray(inside.state)
        mean = state.mean(axis=0, dtype=np.float64).astype(np.float32)[None]
        self.found.append(mean if self.rows is None else np.array(state[self.rows]))


def open_other(against: Any, encoder: Any, inputs: Inputs, *, kept: int, seed: int, tokenizer: Any) -> Other:
    """The other side `against`: a model or saved states (as `source` of the diagnosis), a Diagnosis, or its file.

    `encoder` and `inputs` are those of the diagnosis; `kept` and `seed` say which Gaussian tokens are paired;
    `tokenizer` is that of a module.

    Raises BadInput when it is none of these, or cannot see the same inputs.
    """
    from .diagnosis import Diagnosis

    if isinstance(against, str | os.PathLike) and Path(against).suffix == ".nc":
        from ..dataset import load

        loaded: Any = load(against)
        if not isinstance(loaded, Diagnosis):
            raise BadInput(f"`against` must be a model or a saved diagnosis: `{against}` holds something else.")
        return _saved(loaded, inputs)
    if isinstance(against, Diagnosis):
        return _saved(against, inputs)
    network = open_source(against, random_init=False, seed=seed, tokenizer=tokenizer)
    same = _same_inputs(network, encoder, inputs, seed=seed)

    def look(i: int) -> Row:
        if same.kind == "gaussian" and i > 0:  # the tokens of the first batch are enough
            return {}
        rows = chosen(same.sizes[i], kept, seed) if same.kind == "gaussian" else None
        means = _Means(rows)
        output = same.run(i, means)
        states = np.stack(means.found, axis=1)
        return {"other_state": states, "other_output": np.atleast_2d(output if rows is None else output[rows])}

    return Other(network.name, network.fingerprint, (network.layers, network.dim), look)


def _same_inputs(network: Any, encoder: Any, inputs: Inputs, *, seed: int) -> Inputs:
    if inputs.kind == "text":
        same = text_inputs(network, inputs.labels)
    elif inputs.kind == "images":
        same = image_inputs(network, inputs.labels)
    elif inputs.kind == "states":
        if not isinstance(network, SavedStates):
            raise BadInput("`against` must be saved hidden states, too: a model cannot read the states of another one.")
        same = state_inputs(network)
    else:
        if network.dim != encoder.dim:
            raise BadInput(
                f"`against` must have the width {encoder.dim} of `source` to take the same Gaussian tokens: "
                f"{network.dim} was found; compare on `text`."
            )
        same = gaussian_inputs(network, tokens=inputs.sizes[0], batches=1, seed=seed)
    if inputs.kind != "gaussian" and len(same.labels) != len(inputs.labels):
        raise BadInput(
            f"`against` must take all {len(inputs.labels)} inputs: {len(same.labels)} were found; leave out passages "
            "of a single token."
        )
    return same


def _saved(other: Diagnosis, inputs: Inputs) -> Other:
    if other.inputs["fingerprint"] != inputs.fingerprint:
        raise BadInput(
            f"`against` must be a diagnosis on the same inputs: it was made on {other.inputs['words']}, with other "
            "contents; repeat it with the inputs of today."
        )
    items = len(other.item_output)
    if inputs.real and items < len(inputs.labels):
        raise BadInput(
            f"`against` must hold all {len(inputs.labels)} inputs: it was interrupted after {items}; finish it first."
        )

    def look(i: int) -> Row:
        if not inputs.real:
            return {} if i else {"other_state": other.item_state, "other_output": other.item_output}
        return {"other_state": other.item_state[i : i + 1], "other_output": other.item_output[i : i + 1]}

    model = other.model
    return Other(model["name"], model["fingerprint"], (model["layers"], model["dim"]), look)
