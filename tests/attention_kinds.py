"""Layers of the package out of the parameters that `oracles.kinds` draws."""

from __future__ import annotations

import attnflow as af

CLASSES = {
    "softmax": af.SoftmaxAttention,
    "l2": af.L2Attention,
    "sinkhorn": af.SinkhornAttention,
    "sigmoid": af.SigmoidAttention,
    "linear": af.LinearAttention,
}
KINDS = ("multihead", *CLASSES)
MASKABLE = tuple(kind for kind in KINDS if kind != "sinkhorn")
EXACT = tuple(kind for kind in KINDS if kind != "sigmoid")


def make(kind: str, p: dict, **changes):
    """The layer of this kind with the parameters `p`; changes replace or add constructor arguments."""
    if kind == "multihead":
        return af.MultiHeadAttention([af.SoftmaxAttention(**head) for head in p["heads"]])
    more = {"tolerance": 1e-13} if kind == "sinkhorn" else {}
    return CLASSES[kind](**(p | more | changes))
