"""The other side of a comparison: a network that sees the same inputs, or what a saved diagnosis kept of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._check import BadInput
from .inputs import Inputs, gaussian_inputs, image_inputs, state_inputs, text_inputs
from .row import Row, chosen, require_size
from .source import SavedStates, open_source

if TYPE_CHECKING:
    from .diagnosis import Diagnosis


class Other:
    """What a diagnosis is held against, and how to `look` at input number i in it.

    `name`, `source` and `fingerprint` tell which it is, `shape` are its layers and their width, `width` is
    that of its output; `reading` tells what reaches it, as that of `Inputs`.

    `look` gives `other_state` (items, layers + 1, d) and `other_output` (items, p) of that input, like the rows of the
    diagnosis itself.
    """

    def __init__(
        self, name: str, source: str, fingerprint: str, shape: tuple[int, int], look: Callable[[int], Row], *,
        width: int, reading: str = "",
    ) -> None:  # fmt: skip
        self.name, self.source, self.fingerprint, self.shape, self.look = name, source, fingerprint, shape, look
        self.width, self.reading = width, reading


class _Means:
    """A visit that keeps the mean of each state, or `rows` of its tokens."""

    def __init__(self, rows: np.ndarray | None) -> None:
        self.rows, self.found = rows, list[np.ndarray]()

    def __call__(self, layer: int, inside: Any) -> None:
        state = np.asarray(inside.state)
        require_size(layer, state)
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
    try:
        network = open_source(against, random_init=False, seed=seed, tokenizer=tokenizer)
    except BadInput as error:
        raise BadInput(str(error).replace("`source`", "`against`")) from error
    same = _same_inputs(network, encoder, inputs, seed=seed)

    def look(i: int) -> Row:
        if same.kind == "gaussian" and i > 0:  # the tokens of the first batch are enough
            return {}
        rows = chosen(same.sizes[i], kept, same.seeds[i]) if same.kind == "gaussian" else None
        means = _Means(rows)
        output = same.run(i, means)
        states = np.stack(means.found, axis=1)
        return {"other_state": states, "other_output": np.atleast_2d(output if rows is None else output[rows])}

    shape = (network.layers, network.dim)
    return Other(
        network.name, network.source, network.fingerprint, shape, look, width=network.dim, reading=same.reading
    )


def _same_inputs(network: Any, encoder: Any, inputs: Inputs, *, seed: int) -> Inputs:
    if inputs.kind == "text":
        same = text_inputs(network, inputs.labels, seed=seed)
    elif inputs.kind == "images":
        same = image_inputs(network, inputs.labels, seed=seed)
    elif inputs.kind == "states":
        if not isinstance(network, SavedStates):
            raise BadInput("`against` must be saved hidden states, too: a model cannot read the states of another one.")
        same = state_inputs(network, seed=seed)
    else:
        if network.dim != encoder.dim:
            raise BadInput(
                f"`against` must have the width {encoder.dim} of `source` to take the same Gaussian tokens: "
                f"{network.dim} was found; compare on `text`."
            )
        same = gaussian_inputs(network, tokens=inputs.sizes[0], batches=1, seed=seed)
    if inputs.kind == "states" and same.labels != inputs.labels:
        raise BadInput(
            "`against` must hold the sequences of `source`, with the same names in the same order: others were found."
        )
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
    shape, width = (model["layers"], model["dim"]), other.item_output.shape[1]
    return Other(model["name"], model["source"], model["fingerprint"], shape, look, width=width)
