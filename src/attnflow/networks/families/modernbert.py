"""ModernBERT: norms before, rotary positions, and a window of keys in most layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from typing_extensions import override

from ...diagnostics.attention import Attention, Keys
from .family import Family, Module, Tensor
from .heads import attention_of
from .weights import as_array, linear, split

WINDOW = "sliding_attention"
FIXED = ("default", "linear", "yarn", "llama3")
"""Rotary positions whose frequencies do not depend on the number of tokens."""


@final
class ModernBert(Family):
    """`transformers.ModernBertModel`; the first block has no norm before its attention."""

    name, model_type, modality, pooling = "ModernBERT", "modernbert", "text", "mean"
    bounded_by_norm = False
    unused = ()

    @override
    def blocks(self, model: Module) -> Sequence[Module]:
        return list(model.layers)

    @override
    def embed(self, model: Module, inputs: Mapping[str, Tensor]) -> Tensor:
        return model.embeddings(**inputs)

    @override
    def beside(self, model: Module, tokens: Tensor) -> Sequence[Mapping[str, Any]]:
        import torch
        from transformers.masking_utils import create_bidirectional_sliding_window_mask as window_mask

        kinds = [block.attention_type for block in model.layers]
        positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
        angles = {kind: model.rotary_emb(tokens, positions, kind) for kind in set(kinds)}
        masks: dict[str, Any] = dict.fromkeys(kinds)
        if WINDOW in masks:
            masks[WINDOW] = window_mask(config=model.config, inputs_embeds=tokens, attention_mask=None)
        return [{"attention_mask": masks[kind], "position_embeddings": angles[kind]} for kind in kinds]

    @override
    def finish(self, model: Module, tokens: Tensor) -> Tensor:
        return model.final_norm(tokens)

    @override
    def reader(self, block: Module) -> Module:
        return block.attn

    @override
    def writer(self, block: Module) -> Module:
        return block.attn

    @override
    def reads(self, block: Module, state: Tensor) -> Tensor:
        return block.attn_norm(state)

    @override
    def complete(self, block: Module, state: Tensor, attention: Tensor) -> Tensor:
        middle = state + attention
        return middle + self.feed_forward(block, block.mlp_norm(middle))

    @override
    def feed_forward(self, block: Module, tokens: Tensor) -> Tensor:
        return block.mlp(tokens)

    @override
    def attention(self, model: Module, block: Module) -> Attention | str:
        own, kind, rotary = block.attn, block.attention_type, model.rotary_emb
        if rotary.rope_type[kind] not in FIXED:
            return f"rotary positions of type {rotary.rope_type[kind]!r} turn by angles that depend on the length"
        window = model.config.sliding_window if kind == WINDOW else None
        query, key, value = split(linear(own.Wqkv), 3)
        # A factor on cosine and sine turns up in queries and keys alike.
        factor = getattr(rotary, f"{kind}_attention_scaling") ** 2
        return attention_of(
            query, key, value, linear(own.Wo), heads=query[0].shape[0] // own.head_dim,
            scale=factor * own.head_dim**-0.5, keys=Keys(before=window, after=window),
            rotary=as_array(getattr(rotary, f"{kind}_inv_freq")),
        )  # fmt: skip


MODERNBERT = ModernBert()
