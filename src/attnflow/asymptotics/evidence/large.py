"""The long run in large dimensions, where the linearisation on symmetric matrices is too large to be formed.

Source: this package, docs/theory/long-run.md, Numerical evidence.
"""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Float

from ...flow.gaussian import flow_gaussian
from ...flow.leg import Options, Progress
from ...flow.outcome import Basis, Status
from ...measures.gaussian import Gaussian
from ...transformer.block import Transformer
from ...transformer.feedforward import Affine
from ...transformer.softmax import SoftmaxAttention
from ..equilibria.equilibrium import Equilibrium
from ..equilibria.newton import polish
from ..regime import Regime
from ..system import System
from .outcome import Budget, Evidence

LARGE = 24
NEAR = 1e-6
#: Spans that the flow is followed over one after the other, in units of 1 / ||A||.
SPANS = (20.0, 80.0, 300.0, 1000.0)


def long_run_of_large(system: System, factor: Float[np.ndarray, "d r"], budget: Budget) -> Evidence:
    """What becomes of the covariance of the start `factor` under a `system` of more than 24 dimensions.

    The flow is followed until it rests, within the `budget`; a root is sought near its rest, whose stability is read
    off the rightmost part of the spectrum. Nothing is captured, and growth is not told apart.

    Source: this package, docs/theory/long-run.md, Numerical evidence.
    """
    layer = layer_of(system)
    unit = 1.0 / max(float(np.linalg.norm(system.A, 2)), 1e-300)
    place, since = Gaussian(np.zeros(system.dim), factor), 0.0
    clock = _clock(budget)
    for span in SPANS:
        end = since + span * unit
        options = Options(rtol=budget.rtol, max_steps=budget.steps, stop_at_rest=True)
        with jax.enable_x64(True):
            flow = flow_gaussian(layer, place, end, np.array([end]), options, clock, since=since)
        place, since = Gaussian(np.zeros(system.dim), flow.end.factor), flow.end.t
        if flow.status is Status.BLOW_UP:
            return Evidence(
                Regime.BLOW_UP, Basis.NUMERICAL, "followed to the blow-up at two tolerances", since, flow.end.factor,
                blow_up=flow.blow_up, steps=flow.accepted,
            )  # fmt: skip
        if flow.status not in (Status.REACHED_END, Status.AT_REST):
            return _open(f"the flow ended with status {flow.status.value}", since, flow.end.factor)
        found = _near_rest(system, flow.end.factor)
        if found is not None:
            return _settled(found, since, flow.end.factor)
        if flow.status is Status.AT_REST:
            reason = "it came to rest, but no equilibrium could be found there whose stability could be computed"
            return _open(reason, since, flow.end.factor)
    return _open(f"no rest until t = {since:.4g}", since, np.asarray(place.factor))


def layer_of(system: System) -> Transformer:
    """The covariance's part of a `system` as a layer: heads and A, no biases."""
    heads = [SoftmaxAttention(B=B, V=V) for V, B in zip(system.V, system.B, strict=True)]
    return Transformer(attention=heads or None, feedforward=Affine(A=system.A))


def _clock(budget: Budget) -> Progress:
    """Ends the flow by an interrupt of its own when the budget of seconds is spent: the flow then keeps what it has."""
    import time

    started = time.process_time()

    def report(done: float) -> None:
        if time.process_time() - started > budget.seconds:
            raise KeyboardInterrupt

    return report


def _near_rest(system: System, factor: np.ndarray) -> Equilibrium | None:
    """A stable equilibrium that the covariance is already close to."""
    cov = factor @ factor.T
    rate = float(np.linalg.norm(system.rate(cov)))
    size = float(np.linalg.norm(cov))
    if rate > 1e-3 * float(np.linalg.norm(system.A, 2)) * size:
        return None
    root = polish(system, cov)
    if root is None or root.stable is not True:
        return None
    return root if float(np.linalg.norm(root.cov - cov)) <= max(NEAR, 10 * rate) * max(size, 1e-300) * 1e3 else None


def _settled(root: Equilibrium, time: float, factor: np.ndarray) -> Evidence:
    dim, rank = len(root.cov), root.rank
    regime = Regime.ZERO if rank == 0 else Regime.POSITIVE_DEFINITE if rank == dim else Regime.RANK_DEFICIENT
    abscissa = root.abscissa
    reason = "close to a stable equilibrium" + ("" if abscissa is None else f" of abscissa {abscissa:.3g}")
    rate = None if abscissa is None else -abscissa
    return Evidence(
        regime, Basis.NUMERICAL, reason, time, factor, cov_limit=root.cov, rank=rank, rate=rate, equilibrium=root
    )


def _open(reason: str, time: float, factor: np.ndarray) -> Evidence:
    return Evidence(Regime.UNDETERMINED, Basis.UNDETERMINED, reason, time, factor)
