"""A network whose inside can be looked at: texts, pictures or bare tokens go in, and a visitor sees every block."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from .._check import BadInput
from ..diagnostics.attention import Attention
from .families import Family, Module, Tensor
from .inside import Inside as Inside  # noqa: PLC0414 (a name of this module)
from .inside import Visit as Visit  # noqa: PLC0414
from .inside import through
from .item import Item
from .pooling import Pooling
from .quiet import measured


class Reader(Protocol):
    """Turns what a user has, passages or paths of pictures, into items."""

    def __call__(self, given: Sequence[Any]) -> list[Item]:
        """The items of all that is `given`."""


def open_encoder(
    source: str | os.PathLike[str] | Module, *, random_init: bool = False, seed: int = 0, tokenizer: Any = None
) -> Encoder:
    """The network at `source`, proved: its attention and blocks recomputed from its weights are its own to 1e-5.

    `source` is a PyTorch module (of transformers or sentence-transformers), a folder, or a Hugging Face id; a folder is
    looked at first. With `random_init` it is a configuration: a folder, a `config.json`, or the `model_type` of a
    supported family (its default size), and the weights are drawn with `seed`. `tokenizer`, an object or its folder,
    stands in for the one of `source`.

    Raises BadInput, one line, when there is no such network, its family is not supported, its weights do not fit its
    configuration, the proof fails, or the extra `networks` is not installed.
    """
    from .opening import open_source

    return open_source(source, random_init=random_init, seed=seed, tokenizer=tokenizer)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Encoder:
    """A Transformer of a supported family, as `open_encoder` gives it.

    `name` is short, `source` what the user gave, `licence` what the folder states, `notes` what a reader must know;
    `model` the base model, `layout` its family, `reader` turns texts or pictures into items, `pooler` tokens into one
    vector.
    """

    name: str
    source: str
    licence: str | None
    notes: tuple[str, ...]
    model: Module
    layout: Family
    reader: Reader
    pooler: Pooling

    def __repr__(self) -> str:
        return f"Encoder({self.name!r}, {self.family}, layers={self.layers}, dim={self.dim})"

    @property
    def family(self) -> str:
        """The name of its family: "BERT", "ViT", "DeiT", "ModernBERT" or "GPT-2"."""
        return self.layout.name

    @property
    def modality(self) -> str:
        """What it reads: "text" or "image"."""
        return self.layout.modality

    @property
    def dim(self) -> int:
        """The dimension d of its tokens."""
        config: Any = self.model.config
        return int(config.hidden_size)

    @property
    def layers(self) -> int:
        """The number L of its blocks."""
        return len(self.layout.blocks(self.model))

    @property
    def bounded_by_norm(self) -> bool:
        """Whether a norm ends each block, so that the size of a token is bounded by construction."""
        return self.layout.bounded_by_norm

    @property
    def pooling(self) -> str:
        """How tokens become one vector: "mean", "cls", "last", ..."""
        return self.pooler.mode

    @property
    def normalised(self) -> bool:
        """Whether the output vector is scaled to length 1."""
        return self.pooler.normalised

    @property
    def attentions(self) -> tuple[Attention | str, ...]:
        """The attention of each block from the weights as they are now; a text says why there is no prediction.

        On the CPU the arrays share the memory of the weights.
        """
        return tuple(self.layout.attention(self.model, block) for block in self.layout.blocks(self.model))

    @property
    def parameters(self) -> int:
        """How many parameters take part in the tokens."""
        return sum(tensor.numel() for name, tensor in self.model.named_parameters() if self._used(name))

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of the configuration and of all weights, as they are when first asked for."""
        from .fingerprint import fingerprint_of

        scales = [self.pooler.mode, self.normalised, *(a if isinstance(a, str) else a.scale for a in self.attentions)]
        weights = {name: tensor for name, tensor in self.model.state_dict().items() if self._used(name)}
        return fingerprint_of(self.model.config, scales, weights)

    def read_text(self, passages: Sequence[str]) -> list[Item]:
        """The `passages` as items, with the network's tokenizer, cut at its limit of tokens.

        Raises BadInput when it reads no text or has no tokenizer, or a passage has no token.
        """
        if self.modality != "text":
            raise BadInput(f"`text` needs a network that reads text: `{self.name}` reads images; give it images.")
        return self.reader(passages)

    def read_images(self, paths: Sequence[str | os.PathLike[str]]) -> list[Item]:
        """The pictures at `paths` as items, prepared as the folder says.

        Raises BadInput when the network reads no images, or a file is no picture.
        """
        if self.modality != "image":
            raise BadInput(f"`images` needs a network that reads images: `{self.name}` reads text; give it text.")
        return self.reader(paths)

    def run(self, item: Item, visit: Visit | None = None) -> Float[np.ndarray, " p"]:
        """The output vector of `item`, one sequence without padding; `visit` sees every block on the way."""
        with measured(self.model):
            inputs = {name: self.tensor(array) for name, array in item.inputs().items()}
            tokens = through(self.layout, self.model, self.layout.embed(self.model, inputs), visit)
            return self.pooler(self._out(self.layout.finish(self.model, tokens)))

    def run_tokens(self, tokens: Float[np.ndarray, "n d"], visit: Visit | None = None) -> Float[np.ndarray, "n d"]:
        """What becomes of `tokens` (n, d) that enter the first block, after the last norm; `visit` sees every block.

        Raises BadInput when they are not finite tokens of the network's dimension.
        """
        with measured(self.model):
            return self._out(
                self.layout.finish(self.model, through(self.layout, self.model, self._checked(tokens), visit))
            )

    def feed_forward(self, layer: int, tokens: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """The feed-forward of block `layer` at `tokens` (n, d), without norm and without residual.

        Raises BadInput when they are not finite tokens of the network's dimension.
        """
        with measured(self.model):
            return self._out(self.layout.feed_forward(self.layout.blocks(self.model)[layer], self._checked(tokens)))

    def _used(self, name: str) -> bool:
        return not name.startswith(self.layout.unused)

    def _checked(self, tokens: Float[np.ndarray, "n d"]) -> Tensor:
        tokens = np.asarray(tokens)
        if tokens.ndim != 2 or tokens.shape[1] != self.dim or not tokens.shape[0]:
            raise BadInput(
                f"`tokens` must have shape (n, {self.dim}) for `{self.name}`: shape {tokens.shape} was found."
            )
        if not np.isfinite(tokens).all():
            raise BadInput("`tokens` must be finite: NaN or infinity was found; remove or replace it.")
        return self.tensor(tokens[None])

    def tensor(self, array: np.ndarray) -> Tensor:
        """The `array` as a tensor where the network is, and in its precision unless it holds integers."""
        import torch

        weight = next(self.layout.blocks(self.model)[0].parameters())
        tensor = torch.tensor(array)
        return tensor.to(weight.device, weight.dtype if tensor.is_floating_point() else None)

    def _out(self, tokens: Tensor) -> np.ndarray:
        return np.array(tokens[0].float().cpu().numpy())
