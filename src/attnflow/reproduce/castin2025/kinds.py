"""The attention kinds of the published experiments, in the scales that they have there.

The logits are divided by sqrt(d) for softmax, by sqrt(k) for several heads, and not at all for Sinkhorn attention. The
published L2 field divides only the part with the queries: it is that of the weight exp(-|Q x / sqrt(d) - K y|^2).

Source: :cite:castin2025, numerical experiments on Gaussian measures.
"""

from __future__ import annotations

import numpy as np

from ...transformer.l2 import L2Attention
from ...transformer.multihead import MultiHeadAttention
from ...transformer.sinkhorn import SinkhornAttention
from ...transformer.softmax import SoftmaxAttention
from .weights import Weights


def softmax(weights: Weights) -> SoftmaxAttention:
    """One softmax head with B = K^T Q / sqrt(d); a V = I is handed over as the scalar 1."""
    identity = np.array_equal(weights.V, np.eye(weights.dim))
    return SoftmaxAttention(B=weights.scaled_form, V=1.0 if identity else weights.V)


def l2(weights: Weights) -> L2Attention:
    """L2 attention of temperature 1 with Q / sqrt(d)."""
    return L2Attention(Q=weights.Q / np.sqrt(weights.dim), K=weights.K, V=weights.V, temperature=1.0)


def two_heads(weights: Weights) -> MultiHeadAttention:
    """Two softmax heads of width k = d / 2: rows of Q, K and V cut in two, output projections from the identity.

    Where Q has only d / 2 rows, the second head is left without queries: its weights are uniform (B = 0).
    """
    d = weights.dim
    k = d // 2
    Q, K = (np.zeros((d, d)) for _ in range(2))
    Q[: len(weights.Q)], K[: len(weights.K)] = weights.Q, weights.K
    identity = np.eye(d)
    return MultiHeadAttention.from_qkvo(
        Q.reshape(2, k, d),
        K.reshape(2, k, d),
        weights.V.reshape(2, k, d),
        np.stack([identity[:, :k], identity[:, k:]]),
        scale=1.0 / np.sqrt(k),
    )


def sinkhorn(weights: Weights) -> SinkhornAttention:
    """Sinkhorn attention with B = K^T Q and regularisation 1."""
    return SinkhornAttention(B=weights.K.T @ weights.Q, V=weights.V, epsilon=1.0)
