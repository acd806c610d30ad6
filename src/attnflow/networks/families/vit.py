"""Vision Transformers: a norm before attention and before the feed-forward, attention from all to all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, final

from typing_extensions import override

from ...diagnostics.attention import Attention, Keys
from .family import Family, Module, Tensor
from .heads import attention_of
from .weights import linear


@final
@dataclasses.dataclass(frozen=True)
class VisionTransformer(Family):
    """`transformers.ViTModel` and models of the same layout, with another `name` and `model_type`."""

    name: str
    model_type: str
    modality = "image"
    pooling = "cls"
    bounded_by_norm = False
    unused = ("pooler.", "embeddings.mask_token")

    @override
    def blocks(self, model: Module) -> Sequence[Module]:
        return list(model.layers)

    @override
    def embed(self, model: Module, inputs: Mapping[str, Tensor]) -> Tensor:
        return model.embeddings(**inputs)

    @override
    def beside(self, model: Module, tokens: Tensor) -> Sequence[Mapping[str, Any]]:
        return [{}] * len(model.layers)

    @override
    def finish(self, model: Module, tokens: Tensor) -> Tensor:
        return model.layernorm(tokens)

    @override
    def reader(self, block: Module) -> Module:
        return block.attention

    @override
    def writer(self, block: Module) -> Module:
        return block.attention

    @override
    def reads(self, block: Module, state: Tensor) -> Tensor:
        return block.layernorm_before(state)

    @override
    def complete(self, block: Module, state: Tensor, attention: Tensor) -> Tensor:
        middle = state + attention
        return middle + self.feed_forward(block, block.layernorm_after(middle))

    @override
    def feed_forward(self, block: Module, tokens: Tensor) -> Tensor:
        return block.mlp(tokens)

    @override
    def attention(self, model: Module, block: Module) -> Attention | str:
        own = block.attention
        return attention_of(
            linear(own.q_proj), linear(own.k_proj), linear(own.v_proj), linear(own.o_proj),
            heads=own.num_attention_heads, scale=own.scaling, keys=Keys(),
        )  # fmt: skip


VIT = VisionTransformer("ViT", "vit")
