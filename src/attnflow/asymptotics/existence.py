"""Layers under which no Gaussian blows up in finite time, whatever the start.

Source: this package, docs/theory/definite.md, Global existence; docs/theory/kinds.md.
"""

from __future__ import annotations

import numpy as np

from .._linalg import dense
from ..transformer.block import single_terms
from ..transformer.feedforward import Affine
from ..transformer.l2 import L2Attention
from ..transformer.layer import AbstractLayer
from ..transformer.sigmoid import SigmoidAttention
from ..transformer.sinkhorn import SinkhornAttention
from ..transformer.softmax import SoftmaxAttention
from .hypotheses import ExactSystem, Sign, definite, symmetric
from .rational import Exact, rational
from .regime import Attempt, Held, Hypothesis
from .system import System

STATEMENT = "Global existence"
LINEAR_GROWTH = "the mean grows at most exponentially, as sigmoid attention needs"


def global_existence(of: System | AbstractLayer) -> Attempt:
    """Whether no start blows up in finite time under `of`, a `System` or a layer; sufficient conditions.

    Each softmax head needs V symmetric and semidefinite and B + B^T semidefinite of the other sign, or B symmetric and
    semidefinite and V + V^T semidefinite of the other sign; if all have V_h = eta_h I, the sum of eta_h (B_h + B_h^T)
    must be <= 0 instead. L2 attention needs K of rank d, or Q = K or Q = -K; Sinkhorn attention needs nothing; sigmoid
    attention (in the moment closure) needs that no other term lets the mean grow faster than exponentially. Affine
    terms are free. Other kinds are not covered.

    Source: :cite:castin2025, Gaussian measures; this package, docs/theory/definite.md, Global existence.
    """
    if isinstance(of, System):
        return Attempt(STATEMENT, tuple(_heads(of)))
    terms = [term for term in single_terms(of) if not isinstance(term, Affine)]
    found: list[Hypothesis] = []
    softmax = [term for term in terms if isinstance(term, SoftmaxAttention)]
    if softmax:
        found += _heads(_system(softmax))
    found += [_other(term) for term in terms if not isinstance(term, SoftmaxAttention)]
    if any(isinstance(term, SigmoidAttention) for term in terms):
        found.append(_tame_mean(terms))
    return Attempt(STATEMENT, tuple(found))


def _heads(system: System) -> list[Hypothesis]:
    """The softmax heads: scalar ones together, else each alone."""
    if not len(system.V):
        return []
    if system.scalars is not None:
        return [definite("eta (B + B^T)", system.S, Sign.NONPOSITIVE, lambda: ExactSystem(system).S)]
    found: list[Hypothesis] = []
    for h, (V, B) in enumerate(zip(system.V, system.B, strict=True), start=1):
        found += _opposite(V, B, f"_{h}" if len(system.V) > 1 else "")
    return found


def _opposite(V: np.ndarray, B: np.ndarray, place: str) -> list[Hypothesis]:
    """Of the four ways to have opposite signs the one that holds, or comes nearest."""
    ways = []
    for sign, other in ((Sign.NONNEGATIVE, Sign.NONPOSITIVE), (Sign.NONPOSITIVE, Sign.NONNEGATIVE)):
        for one, two, name, second in ((V, B, "V", "B"), (B, V, "B", "V")):
            ways.append(
                [
                    symmetric(f"{name}{place}", one),
                    definite(f"{name}{place}", one, sign, lambda one=one: rational(one)),  # type: ignore[misc]
                    definite(
                        f"{second}{place} + {second}{place}^T",
                        two + two.T,
                        other,
                        lambda two=two: _with_transpose(two),  # type: ignore[misc]
                    ),
                ]
            )
    return max(ways, key=lambda way: (sum(h.held is Held.HOLDS for h in way), min(h.margin for h in way)))


def _with_transpose(matrix: np.ndarray) -> Exact:
    exact = rational(matrix)
    return exact + exact.transpose()


def _other(term: AbstractLayer) -> Hypothesis:
    """What a term that is neither affine nor softmax needs."""
    name = type(term).__name__
    if isinstance(term, SinkhornAttention | SigmoidAttention):
        return Hypothesis(f"{name}: always", Held.HOLDS, np.inf, exact=True)
    if not isinstance(term, L2Attention):
        return Hypothesis(f"{name}: a kind with a known condition", Held.FAILS, -np.inf, exact=True)
    Q, K = (np.asarray(x, dtype=np.float64) for x in (term.Q, term.K))
    if np.array_equal(Q, K) or np.array_equal(Q, -K):
        return Hypothesis(f"{name}: Q = K or Q = -K", Held.HOLDS, 0.0, exact=True)
    return _injective(name, K)


def _injective(name: str, K: np.ndarray) -> Hypothesis:
    values = np.linalg.svd(K, compute_uv=False)
    margin = float(values[-1]) if K.shape[0] >= K.shape[1] else 0.0
    label = f"{name}: K of rank d, or Q = K or Q = -K"
    if margin > 32 * max(K.shape) * np.finfo(np.float64).eps * float(values[0]):
        return Hypothesis(label, Held.HOLDS, margin)
    exact = rational(K).rank() == K.shape[1]
    return Hypothesis(label, Held.HOLDS if exact else Held.FAILS, margin if exact else -margin, exact=True)


def _tame_mean(terms: list[AbstractLayer]) -> Hypothesis:
    """Beside sigmoid attention only terms whose velocity of the mean is linear in it with bounded coefficients."""
    wild = [type(t).__name__ for t in terms if not (isinstance(t, SinkhornAttention | SigmoidAttention) or _mild(t))]
    if wild:
        return Hypothesis(f"{LINEAR_GROWTH} (not known beside {', '.join(wild)})", Held.FAILS, -1.0, exact=True)
    return Hypothesis(LINEAR_GROWTH, Held.HOLDS, 1.0, exact=True)


def _mild(term: AbstractLayer) -> bool:
    if not isinstance(term, L2Attention):
        return False
    same = np.array_equal(np.asarray(term.Q, dtype=np.float64), np.asarray(term.K, dtype=np.float64))
    return same or _injective("", np.asarray(term.K, dtype=np.float64)).held is Held.HOLDS


def _system(heads: list[SoftmaxAttention]) -> System:
    """The matrices of the heads alone; in dimension 1 when all of them are scalars."""
    dim = next((head.dim for head in heads if head.dim is not None), 1)
    V, B = (
        np.array([dense(operator, dim) for operator in operators], dtype=np.float64)
        for operators in ([head.V for head in heads], [head.B for head in heads])
    )
    zero = np.zeros((dim, dim))
    return System(zero, V, B, np.zeros(dim), np.zeros((len(heads), dim)))
