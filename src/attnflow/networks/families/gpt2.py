"""GPT-2: norms before, and each token sees itself and those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from typing_extensions import override

from ...diagnostics.attention import Attention, Keys
from .family import Family, Module, Tensor
from .heads import attention_of
from .weights import split, transposed


@final
class Gpt2(Family):
    """`transformers.GPT2Model`, whose matrices stand transposed; options that rescale logits are in `scaling`."""

    name, model_type, modality, pooling = "GPT-2", "gpt2", "text", "last"
    bounded_by_norm = False
    unused = ()

    @override
    def blocks(self, model: Module) -> Sequence[Module]:
        return list(model.h)

    @override
    def embed(self, model: Module, inputs: Mapping[str, Tensor]) -> Tensor:
        import torch

        ids = inputs["input_ids"]
        return model.drop(model.wte(ids) + model.wpe(torch.arange(ids.shape[1], device=ids.device)))

    @override
    def beside(self, model: Module, tokens: Tensor) -> Sequence[Mapping[str, Any]]:
        # Without a mask, attention is causal because the module says so (`is_causal`).
        return [{}] * len(model.h)

    @override
    def finish(self, model: Module, tokens: Tensor) -> Tensor:
        return model.ln_f(tokens)

    @override
    def reader(self, block: Module) -> Module:
        return block.attn

    @override
    def writer(self, block: Module) -> Module:
        return block.attn

    @override
    def reads(self, block: Module, state: Tensor) -> Tensor:
        return block.ln_1(state)

    @override
    def complete(self, block: Module, state: Tensor, attention: Tensor) -> Tensor:
        middle = state + attention
        return middle + self.feed_forward(block, block.ln_2(middle))

    @override
    def feed_forward(self, block: Module, tokens: Tensor) -> Tensor:
        return block.mlp(tokens)

    @override
    def attention(self, model: Module, block: Module) -> Attention | str:
        own = block.attn
        query, key, value = split(transposed(own.c_attn), 3)
        return attention_of(
            query, key, value, transposed(own.c_proj), heads=own.num_heads, scale=own.scaling, keys=Keys(after=0)
        )


GPT2 = Gpt2()
