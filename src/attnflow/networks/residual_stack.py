"""A compiled plan as a PyTorch module; it needs torch and safetensors, nothing else of this package."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from typing_extensions import override

NAMES = ("A", "B", "V", "b")


class ResidualStack(nn.Module):
    """Residual layers y = x + V_l attn(x; B_l) + A_l x + b_l on tokens (n, d) or batches of them (..., n, d).

    attn is the average of the tokens y_j with weights proportional to exp(y_j^T B_l x). The parameters `A`, `B`, `V`
    (layers, d, d) and `b` (layers, d) keep the dtype of `weights`; tokens must have the same. They are frozen: call
    `requires_grad_()` to train them. `info` is what else the file says (scheme, time, start, target, ...).

    Source: :cite:alcalde2026, eq. (2.1) and (2.4).
    """

    def __init__(self, weights: Mapping[str, Any], info: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for name in NAMES:
            self.register_parameter(name, nn.Parameter(torch.as_tensor(weights[name]).clone(), requires_grad=False))
        self.info = dict(info or {})

    @staticmethod
    def from_file(path: str | os.PathLike[str]) -> ResidualStack:
        """The stack in the safetensors file `path` that `Network.save` wrote.

        Raises ValueError when the file holds other weights.
        """
        with safe_open(path, framework="pt") as file:
            missing = set(NAMES) - set(file.keys())
            if missing:
                raise ValueError(f"`{path}` must hold A, B, V and b: {', '.join(sorted(missing))} is missing.")
            tensors = {name: file.get_tensor(name) for name in NAMES}
            info = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
        return ResidualStack(tensors, info)

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        for A, B, V, b in zip(*(getattr(self, name) for name in NAMES), strict=True):
            tokens = tokens + _attended(tokens, B) @ V.T + tokens @ A.T + b
        return tokens


def _attended(tokens: Tensor, B: Tensor) -> Tensor:
    """The averages (..., n, d) that the `tokens` (..., n, d) attend to; their mean (..., 1, d) for a frozen B = 0."""
    if not B.requires_grad and not bool(B.any()):
        return tokens.mean(dim=-2, keepdim=True)
    # (m, heads, n, d): with four axes PyTorch keeps memory linear in n
    n, d = tokens.shape[-2:]
    keys, queries = tokens.reshape(-1, 1, n, d), (tokens @ B.T).reshape(-1, 1, n, d)
    return scaled_dot_product_attention(queries, keys, keys, scale=1.0).reshape(tokens.shape)
