"""What can be diagnosed: a network, or hidden states that somebody saved. Both have the same fields."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._check import BadInput
from ...diagnostics.attention import Attention
from ...files.hidden_states import SUFFIXES, read_hidden_states

if TYPE_CHECKING:
    from ...networks.encoder import Encoder

NO_ATTENTION = "saved hidden states tell nothing of the heads"


Visit = Callable[[int, Any], None]
"""Called with the number of a layer and what is inside: `state`, `attended`, `attention`, arrays (n, d) or None."""


class SavedStates:
    """Hidden states of some sequences, from a file: like a network (`attnflow.networks.encoder`), but without heads.

    `path` is an .npz or .safetensors file whose arrays, one a sequence, have shape (layers + 1, n, d).
    """

    family, modality, licence, parameters, bounded_by_norm = "saved states", "states", None, 0, False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.sequences, self.fingerprint = read_hidden_states(path)
        shape = next(iter(self.sequences.values())).shape
        self.name, self.source = Path(path).name, os.fspath(path)
        self.layers, self.dim = shape[0] - 1, shape[2]
        self.attentions: tuple[Attention | str, ...] = (NO_ATTENTION,) * self.layers
        self.notes: tuple[str, ...] = ("the states are taken as they are; that they are not padded is not known",)


def open_source(source: Any, *, random_init: bool, seed: int, tokenizer: Any = None) -> Encoder | SavedStates:
    """The network or the saved states that `source` names: a module, a folder, a file of states, or a model id.

    `random_init`, `seed` and `tokenizer` are handed to the network. Raises BadInput when there is no such thing.
    """
    if is_states(source):
        if random_init:
            raise BadInput("`random_init` needs a configuration: a file of hidden states was given as `source`.")
        return SavedStates(source)
    from ...networks.encoder import open_encoder

    return open_encoder(source, random_init=random_init, seed=seed, tokenizer=tokenizer)


def is_states(source: Any) -> bool:
    """Whether `source` names a file of hidden states."""
    return isinstance(source, str | os.PathLike) and Path(source).suffix in SUFFIXES
