"""attnflow: where does a Transformer take its token distribution?

The names below load what they need when they are first used: importing attnflow imports neither JAX nor NumPy.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._check import BadInput
    from ._linalg import LowRank
    from .asymptotics.equilibria.equilibrium import Equilibrium
    from .asymptotics.regime import MeanRegime, Regime
    from .doors.classify import classify
    from .doors.compare import compare
    from .doors.comparison import Comparison
    from .doors.dataset import load
    from .doors.ensemble import Ensemble, ensemble
    from .doors.equilibria import equilibria
    from .doors.falsification import Counterexample, Falsification, NearMiss
    from .doors.falsify import falsify
    from .doors.long_run import Verdict
    from .doors.mean_matching import mean_matching_bias
    from .doors.run import Run
    from .doors.simulate import simulate
    from .doors.token_run import TokenRun
    from .flow.evolve import Trajectory, evolve
    from .flow.evolve_tokens import TokenTrajectory, evolve_tokens
    from .flow.outcome import Basis, BlowUp, Status
    from .measures.gaussian import Gaussian
    from .measures.tokens import Tokens
    from .transformer.block import Transformer
    from .transformer.depth import Depth
    from .transformer.feedforward import Affine
    from .transformer.finite_softmax import FiniteSoftmaxAttention
    from .transformer.l2 import L2Attention
    from .transformer.linear import LinearAttention
    from .transformer.masked import MaskedAttention
    from .transformer.multihead import MultiHeadAttention
    from .transformer.sigmoid import SigmoidAttention
    from .transformer.sinkhorn import SinkhornAttention
    from .transformer.softmax import SoftmaxAttention


_HOME = {
    "Affine": "transformer.feedforward",
    "BadInput": "_check",
    "Basis": "flow.outcome",
    "BlowUp": "flow.outcome",
    "Comparison": "doors.comparison",
    "Counterexample": "doors.falsification",
    "Depth": "transformer.depth",
    "Ensemble": "doors.ensemble",
    "Equilibrium": "asymptotics.equilibria.equilibrium",
    "Falsification": "doors.falsification",
    "FiniteSoftmaxAttention": "transformer.finite_softmax",
    "Gaussian": "measures.gaussian",
    "L2Attention": "transformer.l2",
    "LinearAttention": "transformer.linear",
    "LowRank": "_linalg",
    "MaskedAttention": "transformer.masked",
    "MeanRegime": "asymptotics.regime",
    "MultiHeadAttention": "transformer.multihead",
    "NearMiss": "doors.falsification",
    "Regime": "asymptotics.regime",
    "Run": "doors.run",
    "SigmoidAttention": "transformer.sigmoid",
    "SinkhornAttention": "transformer.sinkhorn",
    "SoftmaxAttention": "transformer.softmax",
    "Status": "flow.outcome",
    "TokenRun": "doors.token_run",
    "TokenTrajectory": "flow.evolve_tokens",
    "Tokens": "measures.tokens",
    "Trajectory": "flow.evolve",
    "Transformer": "transformer.block",
    "Verdict": "doors.long_run",
    "classify": "doors.classify",
    "compare": "doors.compare",
    "ensemble": "doors.ensemble",
    "equilibria": "doors.equilibria",
    "evolve": "flow.evolve",
    "evolve_tokens": "flow.evolve_tokens",
    "falsify": "doors.falsify",
    "load": "doors.dataset",
    "mean_matching_bias": "doors.mean_matching",
    "simulate": "doors.simulate",
}

__all__ = [
    "Affine",
    "BadInput",
    "Basis",
    "BlowUp",
    "Comparison",
    "Counterexample",
    "Depth",
    "Ensemble",
    "Equilibrium",
    "Falsification",
    "FiniteSoftmaxAttention",
    "Gaussian",
    "L2Attention",
    "LinearAttention",
    "LowRank",
    "MaskedAttention",
    "MeanRegime",
    "MultiHeadAttention",
    "NearMiss",
    "Regime",
    "Run",
    "SigmoidAttention",
    "SinkhornAttention",
    "SoftmaxAttention",
    "Status",
    "TokenRun",
    "TokenTrajectory",
    "Tokens",
    "Trajectory",
    "Transformer",
    "Verdict",
    "__version__",
    "classify",
    "compare",
    "ensemble",
    "equilibria",
    "evolve",
    "evolve_tokens",
    "falsify",
    "load",
    "mean_matching_bias",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("attnflow")
    if name not in _HOME:
        raise AttributeError(f"module 'attnflow' has no attribute {name!r}")
    _prepare()
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _prepare() -> None:
    """Before Equinox is imported for the first time: keep its run-time checks from defeating JAX's disk cache."""
    if "equinox" not in sys.modules:
        import os

        os.environ.setdefault("EQX_ON_ERROR", "nan")
