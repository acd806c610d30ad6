"""What a training callback feeds to the network: passages, tensors as a model takes them, or Gaussian tokens."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .._check import BadInput

if TYPE_CHECKING:
    from ..networks.encoder import Encoder

MOST_TOKENS = 8192
"""A measurement during training may not cost more than so many tokens, all sequences together."""
PICTURES, TEXT, MASK, TYPES = "pixel_values", "input_ids", "attention_mask", "token_type_ids"

Visit: TypeAlias = Callable[[int, Any], None]
Pass: TypeAlias = Callable[[Visit], object]
"""Sends one sequence through the network, past a visitor."""
Row: TypeAlias = dict[str, np.ndarray]
"""The inputs of one sequence, by name."""


@dataclasses.dataclass(frozen=True)
class Passages:
    """Texts, read with the tokenizer that belongs to the network.

    `texts`: the passages, each a sequence of its own.
    """

    texts: tuple[str, ...]

    def through(self, encoder: Encoder) -> list[Pass]:
        """One pass through `encoder` a passage."""
        items = encoder.read_text(self.texts)
        _require_few(sum(item.tokens for item in items))
        return [functools.partial(encoder.run, item) for item in items]


@dataclasses.dataclass(frozen=True)
class Gaussians:
    """Standard Gaussian tokens that enter the first block: `tokens` of them, drawn with `seed`, always the same."""

    tokens: int
    seed: int

    def through(self, encoder: Encoder) -> list[Pass]:
        """The one pass through `encoder`."""
        drawn = np.random.default_rng(self.seed).standard_normal((self.tokens, encoder.dim))
        return [functools.partial(encoder.run_tokens, drawn.astype(np.float32))]


@dataclasses.dataclass(frozen=True)
class Arrays:
    """Inputs as the model takes them in training, by name; `inputs` have the sequences on their first axis."""

    inputs: Mapping[str, np.ndarray]

    def through(self, encoder: Encoder) -> list[Pass]:
        """One pass through `encoder` a sequence, without its padding."""
        from ..networks.item import Item

        name = TEXT if encoder.modality == "text" else PICTURES
        if name not in self.inputs:
            raise BadInput(f"`batch` must hold `{name}` for `{encoder.name}`: {', '.join(self.inputs)} was found.")
        rows = self._texts(encoder) if name == TEXT else self._pictures(encoder)
        _require_few(sum(tokens for tokens, _ in rows))
        items = [Item(tokens, False, functools.partial(dict, row)) for tokens, row in rows]
        return [functools.partial(encoder.run, item) for item in items]

    def _texts(self, encoder: Encoder) -> list[tuple[int, Row]]:
        """How many tokens, and the inputs, of each sequence."""
        reader: Any = encoder.reader
        mask = self.inputs.get(MASK, np.ones_like(self.inputs[TEXT])).astype(bool)
        tokens, longest, kinds = self.inputs[TEXT][mask], int(mask.sum(axis=1).max()), self.inputs.get(TYPES)
        if tokens.min() < 0 or tokens.max() >= reader.vocabulary:
            raise BadInput(
                f"`batch` must hold tokens from 0 to {reader.vocabulary - 1} for `{encoder.name}`: {tokens.min()} to "
                f"{tokens.max()} were found."
            )
        if longest > reader.limit:
            raise BadInput(f"`batch` must hold sequences of at most {reader.limit} tokens: {longest} were found.")
        names = [TEXT] if kinds is None or not kinds.any() else [TEXT, TYPES]
        if TYPES in names and encoder.family != "BERT":
            raise BadInput(f"`batch` must not hold `{TYPES}` for {encoder.family}, which has none; leave them out.")
        return [
            (int(kept.sum()), {name: self.inputs[name][i : i + 1, kept] for name in names})
            for i, kept in enumerate(mask)
        ]

    def _pictures(self, encoder: Encoder) -> list[tuple[int, Row]]:
        reader: Any = encoder.reader
        pixels, wanted = self.inputs[PICTURES], (reader.channels, *reader.size)
        if pixels.shape[1:] != wanted:
            raise BadInput(f"`batch` must hold pictures of shape {wanted}: {pixels.shape[1:]} was found.")
        return [(reader.tokens, {PICTURES: pixels[i : i + 1]}) for i in range(pixels.shape[0])]


Batch: TypeAlias = Passages | Gaussians | Arrays


def batch_of(batch: Any, *, seed: int) -> Batch:
    """What the user gave as `batch`, checked; `seed` draws Gaussian tokens.

    Raises BadInput when it is neither texts, nor named tensors, nor a number of tokens.
    """
    if isinstance(batch, int | np.integer) and not isinstance(batch, bool):
        if not 8 <= batch <= MOST_TOKENS:
            raise BadInput(f"`batch` must be from 8 to {MOST_TOKENS} Gaussian tokens: {batch} was found.")
        return Gaussians(int(batch), seed)
    if isinstance(batch, Mapping):
        return _arrays(batch)
    texts = [batch] if isinstance(batch, str) else batch
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadInput(
            "`batch` must be texts, the named tensors of a batch, or a number of Gaussian tokens: "
            f"{type(batch).__name__} was found."
        )
    return Passages(tuple(texts))


def _arrays(batch: Mapping[str, Any]) -> Arrays:
    of_text = (TEXT, MASK, TYPES) if batch.get(TEXT) is not None else ()
    known = [name for name in (*of_text, PICTURES) if batch.get(name) is not None]
    if not known:
        raise BadInput(
            f"`batch` must hold `{TEXT}` or `{PICTURES}`: {', '.join(map(str, batch)) or 'nothing'} was found."
        )
    arrays = {name: _array(batch[name]) for name in known}
    for name, array in arrays.items():
        right = array.ndim == 4 if name == PICTURES else array.ndim == 2 and array.shape == arrays[TEXT].shape
        if not right or not array.size:
            raise BadInput(
                f"`batch` must hold sequences of one length, (sequences, tokens), or pictures: `{name}` has shape "
                f"{array.shape}; pad them, with an `{MASK}`."
            )
    if MASK in arrays and not arrays[MASK].astype(bool).any(axis=1).all():
        raise BadInput(f"`batch` must hold a token in each sequence: the `{MASK}` leaves one empty; leave it out.")
    return Arrays(arrays)


def _array(tensor: Any) -> np.ndarray:
    """The numbers of a tensor of PyTorch, wherever it is, or of an array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        tensor = tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()
    return np.array(tensor)


def _require_few(tokens: int) -> None:
    if tokens > MOST_TOKENS:
        raise BadInput(f"`batch` must hold at most {MOST_TOKENS} tokens: {tokens} were found; give fewer sequences.")
