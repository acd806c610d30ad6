"""A hash of what a network computes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .families import Tensor

BESIDE = (
    "_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "id2label", "label2id",
    "problem_type", "classifier_dropout", "use_cache", "gradient_checkpointing", "return_dict", "output_attentions",
    "output_hidden_states",
)  # fmt: skip
"""Entries of a configuration that do not change the tokens: its origin, what stands on top, what is returned."""


def fingerprint_of(config: Any, scales: list[Any], weights: Mapping[str, Tensor]) -> str:
    """The hash (blake2b, 16 bytes) of `config`, of the `scales` of the logits by layer, and of all `weights`."""
    import torch

    said = {name: value for name, value in config.to_dict().items() if name not in BESIDE}
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([said, scales], sort_keys=True, default=str).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        data: Any = tensor.reshape(-1).view(torch.uint8).numpy()
        digest.update(data)
    return digest.hexdigest()
