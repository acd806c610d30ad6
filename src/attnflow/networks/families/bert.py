"""BERT, MiniLM and their kin: a norm after each residual, attention from all to all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from typing_extensions import override

from ...diagnostics.attention import Attention, Keys
from .family import Family, Module, Tensor
from .heads import attention_of
from .weights import linear


@final
class Bert(Family):
    """`transformers.BertModel`; with `is_decoder` in its configuration its attention is causal."""

    name, model_type, modality, pooling = "BERT", "bert", "text", "mean"
    bounded_by_norm = True
    unused = ("pooler.",)

    @override
    def blocks(self, model: Module) -> Sequence[Module]:
        return list(model.encoder.layer)

    @override
    def embed(self, model: Module, inputs: Mapping[str, Tensor]) -> Tensor:
        return model.embeddings(**inputs)

    @override
    def beside(self, model: Module, tokens: Tensor) -> Sequence[Mapping[str, Any]]:
        return [{}] * len(model.encoder.layer)

    @override
    def finish(self, model: Module, tokens: Tensor) -> Tensor:
        return tokens

    @override
    def reader(self, block: Module) -> Module:
        return block.attention.self

    @override
    def writer(self, block: Module) -> Module:
        return block.attention.output.dense

    @override
    def reads(self, block: Module, state: Tensor) -> Tensor:
        return state

    @override
    def complete(self, block: Module, state: Tensor, attention: Tensor) -> Tensor:
        middle = block.attention.output.LayerNorm(state + attention)
        return block.output.LayerNorm(middle + self.feed_forward(block, middle))

    @override
    def feed_forward(self, block: Module, tokens: Tensor) -> Tensor:
        return block.output.dense(block.intermediate(tokens))

    @override
    def attention(self, model: Module, block: Module) -> Attention | str:
        own, output = block.attention.self, block.attention.output.dense
        return attention_of(
            linear(own.query), linear(own.key), linear(own.value), linear(output),
            heads=own.num_attention_heads, scale=own.scaling, keys=Keys(after=0) if own.is_causal else Keys(),
        )  # fmt: skip


BERT = Bert()
