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
    from .doors import distances, measurements, moments
    from .doors.beside import Beside, tokens_beside
    from .doors.compare import compare
    from .doors.comparison import Comparison
    from .doors.dataset import load
    from .doors.departure import departure
    from .doors.departure_result import Departure
    from .doors.diagnosis.diagnose import diagnose
    from .doors.diagnosis.diagnosis import Diagnosis
    from .doors.ensemble import Ensemble, ensemble
    from .doors.long_run.classify import classify
    from .doors.long_run.equilibria import equilibria
    from .doors.long_run.falsification import Counterexample, Falsification, NearMiss
    from .doors.long_run.falsify import falsify
    from .doors.long_run.mean_matching import mean_matching_bias
    from .doors.long_run.verdict import Verdict
    from .doors.mixture import mixture_defect, simulate_mixture
    from .doors.mixture_run import MixtureRun
    from .doors.relu_defect import Defect, relu_defect
    from .doors.run import Run
    from .doors.simulate import simulate
    from .doors.steering.network import Network, load_network
    from .doors.steering.plan import Plan, PlanStatus
    from .doors.steering.steer import steer
    from .doors.steering.study import NetworkStudy, network_study
    from .doors.token_run import TokenRun
    from .doors.training_callback import TrainingCallback
    from .doors.trusted_depth import trusted_depth
    from .doors.trusted_depth_result import TrustedDepth
    from .flow.evolve import Trajectory, evolve
    from .flow.evolve_tokens import TokenTrajectory, evolve_tokens
    from .flow.outcome import Basis, BlowUp, Status
    from .measures.gaussian import Gaussian
    from .measures.mixture import Mixture
    from .measures.tokens import Tokens
    from .moments.by_quadrature import SiLU, Tanh, TanhGELU
    from .moments.error_function import GELU, Erf
    from .moments.relu import ReLU
    from .reachability.constrained.constraints import AttentionOnly, LeastEnergy, RunningCost, TimeInvariant
    from .reachability.constructions import ConstantControls, McCann, PaperConstruction, Rotation
    from .reachability.obstruction import Reachability, reachable
    from .transformer.block import Transformer
    from .transformer.depth import Depth
    from .transformer.feedforward import Affine, FeedForward
    from .transformer.finite_softmax import FiniteSoftmaxAttention
    from .transformer.l2 import L2Attention
    from .transformer.linear import LinearAttention
    from .transformer.masked import MaskedAttention
    from .transformer.mlp import MLP
    from .transformer.multihead import MultiHeadAttention
    from .transformer.sigmoid import SigmoidAttention
    from .transformer.sinkhorn import SinkhornAttention
    from .transformer.softmax import SoftmaxAttention


_HOME = {
    "Affine": "transformer.feedforward",
    "AttentionOnly": "reachability.constrained.constraints",
    "BadInput": "_check",
    "Basis": "flow.outcome",
    "Beside": "doors.beside",
    "BlowUp": "flow.outcome",
    "Comparison": "doors.comparison",
    "ConstantControls": "reachability.constructions",
    "Counterexample": "doors.long_run.falsification",
    "Defect": "doors.relu_defect",
    "Departure": "doors.departure_result",
    "Depth": "transformer.depth",
    "Diagnosis": "doors.diagnosis.diagnosis",
    "Ensemble": "doors.ensemble",
    "Equilibrium": "asymptotics.equilibria.equilibrium",
    "Erf": "moments.error_function",
    "Falsification": "doors.long_run.falsification",
    "FeedForward": "transformer.feedforward",
    "FiniteSoftmaxAttention": "transformer.finite_softmax",
    "GELU": "moments.error_function",
    "Gaussian": "measures.gaussian",
    "L2Attention": "transformer.l2",
    "LeastEnergy": "reachability.constrained.constraints",
    "LinearAttention": "transformer.linear",
    "LowRank": "_linalg",
    "MLP": "transformer.mlp",
    "MaskedAttention": "transformer.masked",
    "McCann": "reachability.constructions",
    "MeanRegime": "asymptotics.regime",
    "Mixture": "measures.mixture",
    "MixtureRun": "doors.mixture_run",
    "MultiHeadAttention": "transformer.multihead",
    "NearMiss": "doors.long_run.falsification",
    "Network": "doors.steering.network",
    "NetworkStudy": "doors.steering.study",
    "PaperConstruction": "reachability.constructions",
    "Plan": "doors.steering.plan",
    "PlanStatus": "doors.steering.plan",
    "ReLU": "moments.relu",
    "Reachability": "reachability.obstruction",
    "Regime": "asymptotics.regime",
    "Rotation": "reachability.constructions",
    "Run": "doors.run",
    "RunningCost": "reachability.constrained.constraints",
    "SiLU": "moments.by_quadrature",
    "SigmoidAttention": "transformer.sigmoid",
    "SinkhornAttention": "transformer.sinkhorn",
    "SoftmaxAttention": "transformer.softmax",
    "Status": "flow.outcome",
    "Tanh": "moments.by_quadrature",
    "TanhGELU": "moments.by_quadrature",
    "TimeInvariant": "reachability.constrained.constraints",
    "TokenRun": "doors.token_run",
    "TokenTrajectory": "flow.evolve_tokens",
    "Tokens": "measures.tokens",
    "TrainingCallback": "doors.training_callback",
    "Trajectory": "flow.evolve",
    "Transformer": "transformer.block",
    "TrustedDepth": "doors.trusted_depth_result",
    "Verdict": "doors.long_run.verdict",
    "classify": "doors.long_run.classify",
    "compare": "doors.compare",
    "departure": "doors.departure",
    "diagnose": "doors.diagnosis.diagnose",
    "ensemble": "doors.ensemble",
    "equilibria": "doors.long_run.equilibria",
    "evolve": "flow.evolve",
    "evolve_tokens": "flow.evolve_tokens",
    "falsify": "doors.long_run.falsify",
    "load": "doors.dataset",
    "load_network": "doors.steering.network",
    "mean_matching_bias": "doors.long_run.mean_matching",
    "mixture_defect": "doors.mixture",
    "network_study": "doors.steering.study",
    "reachable": "reachability.obstruction",
    "relu_defect": "doors.relu_defect",
    "simulate": "doors.simulate",
    "simulate_mixture": "doors.mixture",
    "steer": "doors.steering.steer",
    "tokens_beside": "doors.beside",
    "trusted_depth": "doors.trusted_depth",
}

__all__ = [
    "GELU",
    "MLP",
    "Affine",
    "AttentionOnly",
    "BadInput",
    "Basis",
    "Beside",
    "BlowUp",
    "Comparison",
    "ConstantControls",
    "Counterexample",
    "Defect",
    "Departure",
    "Depth",
    "Diagnosis",
    "Ensemble",
    "Equilibrium",
    "Erf",
    "Falsification",
    "FeedForward",
    "FiniteSoftmaxAttention",
    "Gaussian",
    "L2Attention",
    "LeastEnergy",
    "LinearAttention",
    "LowRank",
    "MaskedAttention",
    "McCann",
    "MeanRegime",
    "Mixture",
    "MixtureRun",
    "MultiHeadAttention",
    "NearMiss",
    "Network",
    "NetworkStudy",
    "PaperConstruction",
    "Plan",
    "PlanStatus",
    "ReLU",
    "Reachability",
    "Regime",
    "Rotation",
    "Run",
    "RunningCost",
    "SiLU",
    "SigmoidAttention",
    "SinkhornAttention",
    "SoftmaxAttention",
    "Status",
    "Tanh",
    "TanhGELU",
    "TimeInvariant",
    "TokenRun",
    "TokenTrajectory",
    "Tokens",
    "TrainingCallback",
    "Trajectory",
    "Transformer",
    "TrustedDepth",
    "Verdict",
    "__version__",
    "classify",
    "compare",
    "departure",
    "diagnose",
    "distances",
    "ensemble",
    "equilibria",
    "evolve",
    "evolve_tokens",
    "falsify",
    "load",
    "load_network",
    "mean_matching_bias",
    "measurements",
    "mixture_defect",
    "moments",
    "network_study",
    "reachable",
    "relu_defect",
    "simulate",
    "simulate_mixture",
    "steer",
    "tokens_beside",
    "trusted_depth",
]


_MODULES = {"distances": "doors.distances", "measurements": "doors.measurements", "moments": "doors.moments"}
"""Public names that are whole modules."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("attnflow")
    if name not in _HOME and name not in _MODULES:
        raise AttributeError(f"module 'attnflow' has no attribute {name!r}")
    _prepare()
    value: Any
    if name in _MODULES:
        value = importlib.import_module(f".{_MODULES[name]}", __name__)
    else:
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
