"""Pictures of a verdict: the spectra with their margins, and for d = 2 the basins in the cone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ..._check import BadInput
from ...asymptotics.classification import classify_covariance
from ...asymptotics.evidence import Budget
from ...asymptotics.evidence.capture import Root
from ...asymptotics.small_starts import basin_of_zero
from ...asymptotics.system import System
from ..progress import progress_bar
from .equilibria import equilibria

if TYPE_CHECKING:
    from .verdict import Verdict

RINGS = 3
SIZES = (0.125, 0.35, 1.0, 2.0)
"""Traces of the starts of a basin, in units of the largest equilibrium or of the separatrix."""


def spectrum_picture(verdict: Verdict, ax: Any = None) -> Any:
    """The spectra of A, of M and of the mean's generator at the limit, and of the linearisation; see `Verdict.plot`.

    Raises BadInput for attention other than softmax.
    """
    from ...report.spectrum import Spectrum, spectrum_panel, spectrum_with_margins

    system = _softmax(verdict)
    spectra = [Spectrum("A", np.linalg.eigvals(system.A).astype(complex))]
    linearisation = None
    if verdict.equilibrium is not None:
        e = verdict.equilibrium
        generator = np.linalg.eigvals(system.generator(e.cov)).astype(complex)
        spectra += [Spectrum("M at the limit", generator), Spectrum("mean at the limit", e.mean_spectrum)]
        linearisation = Spectrum("covariance at the limit", e.spectrum) if e.spectrum.size else None
    if ax is not None:
        return spectrum_panel(spectra, ax=ax)
    title = f"covariance: {verdict.covariance.partition(':')[0]}; mean: {verdict.mean}"
    return spectrum_with_margins(spectra, linearisation, title=title)


def basin_picture(verdict: Verdict, *, budget: float = 2.0) -> Any:
    """What becomes of a grid of starts in the cone of 2 x 2 covariances under the model of `verdict`.

    Each start is classified with a `budget` in seconds.

    Raises BadInput unless d = 2 and the attention is softmax.
    """
    from ...report.basin import Basin, basin_picture, cone_starts

    system = _softmax(verdict)
    if system.dim != 2:
        raise BadInput(f"the basin is drawn for d = 2 only: d = {system.dim} was found; leave it out.")
    rest = [e for e in equilibria(verdict.model, dim=2) if e.rank > 0]
    zero = basin_of_zero(system)
    starts = cone_starts([size * _unit(verdict, rest, zero) for size in SIZES], rings=RINGS)
    regimes: list[str] = []
    roots: list[Root] = []
    with jax.enable_x64(True), progress_bar(len(starts), words="basin") as report:
        for i, cov in enumerate(starts):
            values, vectors = np.linalg.eigh(cov)
            kept = values > 1e-12 * values[-1]
            factor = vectors[:, kept] * np.sqrt(values[kept])
            found = classify_covariance(system, factor, budget=Budget(seconds=budget), seed=0, roots=roots)
            regimes.append(str(found.finding.regime))
            report(i + 1)
    basin = Basin(
        starts=starts,
        regimes=regimes,
        equilibria=np.array([e.cov for e in rest]).reshape(-1, 2, 2),
        stable=np.array([e.stable is True for e in rest], dtype=bool),
        gramian=None if zero is None else zero.gramian,
    )
    return basin_picture(basin, title=f"from every start: {len(set(regimes))} regimes")


def _unit(verdict: Verdict, rest: list[Any], zero: Any) -> float:
    traces = [float(np.trace(e.cov)) for e in rest]
    if zero is not None and np.any(zero.gramian):
        traces.append(2.0 / float(np.linalg.eigvalsh(zero.gramian)[-1]))
    if not traces and verdict.start is not None:
        traces.append(float(np.trace(np.asarray(verdict.start.cov))))
    return max(traces, default=1.0) or 1.0


def _softmax(verdict: Verdict) -> System:
    if verdict.system is None:
        raise BadInput("the picture needs softmax attention with an affine feed-forward: another kind was found.")
    return verdict.system
