"""The sampling criteria of softmax heads along a Gaussian flow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from ..measures.gaussian import Gaussian
from ..moments.trust import Regime, Trust, trust
from ..transformer.block import single_terms
from ..transformer.depth import Model, layer_at
from ..transformer.layer import AbstractLayer
from ..transformer.softmax import SoftmaxAttention
from .run import Run


@dataclasses.dataclass(frozen=True)
class HeadTrust:
    """What the criteria say of one head (`name`) along the Gaussian flow.

    `trusted` whether all of them hold at all times; `t` is the first time at which one fails (the last time if none
    does), and `regime`, `kappa` (the mean variance of its logits), `noise` (of the velocity, relative to how much it
    varies), `self_weight` (the logarithm of a token's weight for itself) and `reason` belong to that time.
    """

    name: str
    t: float
    trusted: bool
    regime: str
    kappa: float
    noise: float
    self_weight: float
    reason: str


def along(model: Model, run: Run, counts: Sequence[int]) -> dict[int, list[HeadTrust]]:
    """The criteria of every softmax head of `model` at the times of `run`, for each number of tokens in `counts`.

    Other attention kinds have none.

    Source: this package, docs/theory/finite-n.md, section 5.
    """
    with jax.enable_x64(True):
        layers = [single_terms(layer_at(model, float(t))) for t in run.ts]
        places = [i for i, term in enumerate(layers[0]) if isinstance(term, SoftmaxAttention)] if layers else []
        return {n: [_head(f"softmax head {k}", n, i, layers, run) for k, i in enumerate(places)] for n in counts}


def _head(name: str, n: int, place: int, layers: Sequence[Sequence[AbstractLayer]], run: Run) -> HeadTrust:
    seen, index = None, 0
    for index, terms in enumerate(layers):
        head = terms[place] if place < len(terms) else None
        if not isinstance(head, SoftmaxAttention):
            continue
        measure = Gaussian(run.mean[index], run.factor[index])
        seen = trust(measure, head.B, head.V, n, query_bias=head.query_bias)
        if seen.regime is not Regime.MEAN_FIELD:
            break
    if seen is None:
        raise AssertionError("the first layer has this head")
    return HeadTrust(
        name=name,
        t=float(run.ts[index]),
        trusted=seen.regime is Regime.MEAN_FIELD,
        regime=seen.regime.value,
        kappa=seen.kappa,
        noise=float(min(seen.noise.value, np.finfo(float).max)),
        self_weight=seen.self_weight.value,
        reason=_reason(seen, n),
    )


def _reason(seen: Trust, n: int) -> str:
    if seen.regime is Regime.FROZEN:
        return (
            f"its logits have variance {seen.kappa:.3g} > 2 log n = {2 * np.log(n):.3g}: single tokens hold the weight"
        )
    if not seen.bias.holds:
        return f"its logits have variance {seen.kappa:.3g} > log(n/10) = {seen.bias.limit:.3g}: too few tokens for it"
    if not seen.self_weight.holds:
        return "tokens attend to themselves"
    if not seen.noise.holds:
        return f"the choice of the tokens moves its velocity by {np.sqrt(seen.noise.value):.0%} of its variation"
    return ""
