"""What a family of networks must say about itself."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ...diagnostics.attention import Attention

Tensor: TypeAlias = Any
"""A `torch.Tensor`: named in annotations only, since nothing may import torch before a network is opened."""
Module: TypeAlias = Any
"""A `torch.Module`, of transformers where it is a whole network."""


class Family(abc.ABC):
    """Where the parts of a network live, by the names that transformers gives them.

    A network is an embedding, L blocks that each add attention and a feed-forward to the tokens, and perhaps a last
    norm. `name` is for people, `model_type` the word in `config.json`; `modality` is "text" or "image"; `pooling` is
    how tokens become one vector where the folder does not say; `bounded_by_norm` says that a norm ends each block;
    `unused` are prefixes of weights that play no part in the tokens. Everything here takes the base model, or one of
    its blocks, and tokens (1, n, d).
    """

    name: str
    model_type: str
    modality: str
    pooling: str
    bounded_by_norm: bool
    unused: tuple[str, ...]

    @abc.abstractmethod
    def blocks(self, model: Module) -> Sequence[Module]:
        """The blocks of `model` in the order of depth."""

    @abc.abstractmethod
    def embed(self, model: Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """The tokens that enter the first block of `model`, for the `inputs` of its own forward pass."""

    @abc.abstractmethod
    def beside(self, model: Module, tokens: Tensor) -> Sequence[Mapping[str, Any]]:
        """For each block of `model`, what its call takes beside the `tokens`: masks, positions."""

    @abc.abstractmethod
    def finish(self, model: Module, tokens: Tensor) -> Tensor:
        """The output of `model` from the `tokens` that leave its last block."""

    @abc.abstractmethod
    def reader(self, block: Module) -> Module:
        """The part of `block` whose first argument is what the heads read."""

    @abc.abstractmethod
    def writer(self, block: Module) -> Module:
        """The part of `block` whose output is what attention adds."""

    @abc.abstractmethod
    def reads(self, block: Module, state: Tensor) -> Tensor:
        """What the heads of `block` read when the tokens `state` enter it."""

    @abc.abstractmethod
    def complete(self, block: Module, state: Tensor, attention: Tensor) -> Tensor:
        """What leaves `block` when the tokens `state` enter and its attention adds `attention`."""

    @abc.abstractmethod
    def feed_forward(self, block: Module, tokens: Tensor) -> Tensor:
        """The feed-forward of `block` at `tokens`, without norm and without residual."""

    @abc.abstractmethod
    def attention(self, model: Module, block: Module) -> Attention | str:
        """The attention of `block` as arrays, or the reason why nothing can be predicted for it."""
