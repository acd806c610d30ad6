"""Residual blocks with attention of one chosen head, the feed-forward of a real network, and no norms.

Source: :cite:alcalde2026, Section 5.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch.nn.functional import scaled_dot_product_attention


class FeedForwards(Protocol):
    """A network that lends its feed-forwards, such as `attnflow.networks.encoder.Encoder`."""

    @property
    def layers(self) -> int:
        """How many it has, one a block."""

    def feed_forward(self, layer: int, tokens: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """What the feed-forward of block `layer` adds to `tokens` (n, d), without any norm."""


@dataclasses.dataclass(frozen=True)
class Modified:
    """What stands in place of a block: y = x + V attn(x), then y + damping f(y) with the block's own feed-forward f.

    attn(x) is the average of all tokens x_j with weights proportional to exp(B x . x_j). `V` and `B` are multiples of
    the identity; `damping` 1 leaves the feed-forward as it is.

    Source: :cite:alcalde2026, Section 5.2.
    """

    V: float
    B: float
    damping: float = 1.0


@torch.inference_mode()
def attended(tokens: Float[np.ndarray, "n d"], rule: Modified) -> Float[np.ndarray, "n d"]:
    """`tokens` (n, d) behind the attention of `rule`, in their dtype; memory is linear in n.

    Source: :cite:alcalde2026, eq. (2.1) and (2.4).
    """
    # (1, 1, n, d): with four axes PyTorch keeps no n x n matrix
    keys = torch.tensor(tokens)[None, None]
    average = scaled_dot_product_attention(rule.B * keys, keys, keys, scale=1.0)
    return np.asarray((keys + rule.V * average)[0, 0].numpy())


def fed_forward(
    network: FeedForwards, block: int, tokens: Float[np.ndarray, "n d"], rule: Modified
) -> Float[np.ndarray, "n d"]:
    """`tokens` (n, d) behind the feed-forward of `block` of `network`, damped as `rule` says."""
    return np.asarray(tokens + tokens.dtype.type(rule.damping) * network.feed_forward(block, tokens))


def modified_states(
    network: FeedForwards, tokens: Float[np.ndarray, "n d"], rule: Modified
) -> Iterator[Float[np.ndarray, "n d"]]:
    """`tokens` (n, d), and then what leaves each block of `network` modified by `rule`.

    It ends early, before the first state with a number that is not finite.
    """
    yield tokens
    for block in range(network.layers):
        middle = attended(tokens, rule)
        if not np.isfinite(middle).all():
            return
        tokens = fed_forward(network, block, middle, rule)
        if not np.isfinite(tokens).all():
            return
        yield tokens


@torch.inference_mode()
def own_weights(tokens: Float[np.ndarray, "n d"], B: float, queries: int) -> Float[np.ndarray, " m"]:
    """The weight that each of the first `queries` of `tokens` (n, d) gives to itself, for logits `B` x . y; (m,).

    Near 1 a token attends to itself, and the attention of `Modified` is x -> (1 + V) x whatever the others are.
    """
    x = torch.tensor(tokens)
    logits = (B * (x[:queries] @ x.T)).double()
    return np.asarray(torch.softmax(logits, dim=1).diagonal().numpy())
