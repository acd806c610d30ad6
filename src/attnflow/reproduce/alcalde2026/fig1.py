"""Figure 1: three regimes of the covariance under V = -I, and a bias that takes the mean to a chosen target.

Source: :cite:alcalde2026, Section 5.1 and Fig. 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.linalg
import xarray as xr

from ..._atomic import replacing
from ...doors.run import Run
from ...doors.simulate import simulate
from ...files.provenance import provenance
from ...files.results import write_dataset
from ...measures.gaussian import Gaussian
from ...report.figure1 import Panel, regimes
from ...transformer.block import Transformer
from ...transformer.feedforward import Affine
from ...transformer.softmax import SoftmaxAttention
from ..check import Check, Reproduction, close, same
from . import fig1_numbers as numbers

NAME = "alcalde2026/fig1"
FILES = ("fig1.png", "fig1.nc", "fig1.json")
RTOL = 1e-12
REPLAY = 1e-8


def reproduce(folder: Path) -> Reproduction:
    """Simulate the regimes for both matrices B, check them, and write picture, datasets and checks into `folder`.

    Source: :cite:alcalde2026, Fig. 1.
    """
    runs = {key: simulate_regime(*key) for key in numbers.BIAS}
    checks = tuple(check for key, run in runs.items() for check in regime_checks(*key, run))
    shown = {regime: run for (matrix, regime), run in runs.items() if matrix == "figure"}
    picture, data, table = (folder / file for file in FILES)
    datasets = {regime: run.to_dataset() for regime, run in shown.items()}
    write_dataset(joined(datasets, checks), data)
    regimes([_panel(regime, run) for regime, run in shown.items()], path=picture)
    with replacing(table) as partial:
        partial.write_text(json.dumps(_report(checks), indent=1) + "\n", encoding="utf-8")
    return Reproduction(checks, datasets, (picture, data, table))


def limit_covariance(A: np.ndarray, S: np.ndarray) -> np.ndarray:
    """The limit of the covariance (d, d) for V = eta I, S = eta (B + B^T) negative definite and a definite start.

    It is E W^{-1} E^T with an orthonormal basis E of the unstable invariant subspace of A (no eigenvalue on the
    imaginary axis) and A_E^T W + W A_E = -E^T S E, where A_E = E^T A E.

    Source: :cite:alcalde2026, Thm. 4.1.
    """
    T, Z, k = scipy.linalg.schur(A, sort="rhp")
    E, A_E = Z[:, :k], T[:k, :k]
    W = scipy.linalg.solve_continuous_lyapunov(A_E.T, -E.T @ S @ E)
    return np.asarray(E @ np.linalg.solve(W, E.T))


def matching_bias(A: np.ndarray, B: np.ndarray, eta: float, limit: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The bias b (d,) for which `target` is the limit of the mean.

    Source: :cite:alcalde2026, Thm. 4.8.
    """
    return np.asarray(-(A + eta * limit @ B + eta * np.eye(target.size)) @ target)


def simulate_regime(matrix: str, regime: str) -> Run:
    """The run of one regime, at times from 0 to T that follow the transient and the long rest."""
    A, B, limit = _matrices(matrix, regime)
    b = matching_bias(A, B, numbers.ETA, limit, np.array(numbers.TARGET))
    model = Transformer(SoftmaxAttention(B=B, V=numbers.ETA), Affine(A=A, b=b))
    start = Gaussian.from_moments(np.array(numbers.MEAN), np.array(numbers.COV))
    ts = np.union1d(np.linspace(0.0, numbers.T, 151), np.geomspace(1e-2, numbers.T, 150))
    return simulate(model, start, ts, rtol=RTOL)


def regime_checks(matrix: str, regime: str, run: Run) -> list[Check]:
    """The numbers of one regime against their references, and the run against an independent replay."""
    key, place = (matrix, regime), f"{matrix}, {regime}"
    A, B, limit = _matrices(matrix, regime)
    bias = matching_bias(A, B, numbers.ETA, limit, np.array(numbers.TARGET))
    vanishing = regime == "A_minus"
    size = {"atol": 1e-12} if vanishing else {"rtol": 1e-10}
    checks = [
        same(f"{place}: status", run.status.value, "reached_end"),
        close(f"{place}: bias b", bias, numbers.BIAS[key], rtol=1e-10),
        close(f"{place}: limit of the covariance", limit, numbers.LIMIT[key], **size),
        close(f"{place}: covariance at T", run.cov[-1], numbers.AT_END[key], rtol=1e-10),
        close(f"{place}: mean at T", run.mean[-1], numbers.TARGET, atol=1e-9),
    ]
    if not vanishing:
        checks.append(same(f"{place}: rank at T", int(run.numerical_rank[-1]), numbers.RANKS[regime]))
    if matrix == "figure":
        replay = run.verify()
        checks.append(close(f"{place}: replayed mean", replay.mean_error, 0.0, atol=REPLAY))
        checks.append(close(f"{place}: replayed covariance", replay.cov_error, 0.0, atol=REPLAY))
    return checks


def joined(datasets: Mapping[str, xr.Dataset], checks: tuple[Check, ...]) -> xr.Dataset:
    """The datasets along a new dimension `regime`; the attribute `regimes` keeps problem and provenance of each."""
    regime = xr.DataArray(list(datasets), dims="regime", name="regime")
    dataset: xr.Dataset = xr.concat(
        list(datasets.values()), dim=regime, data_vars="all", coords="minimal", compat="override", join="exact",
        combine_attrs="drop",
    )  # fmt: skip
    problems = {name: {key: json.loads(value) for key, value in ds.attrs.items()} for name, ds in datasets.items()}
    dataset.attrs = {
        "kind": "reproduction",
        "target": NAME,
        "regimes": problems,
        "checks": [c.to_dict() for c in checks],
    }
    return dataset


def _matrices(matrix: str, regime: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A, B and the limit of the covariance."""
    A, B = np.array(numbers.A[regime]), np.array(numbers.B[matrix])
    return A, B, limit_covariance(A, numbers.ETA * (B + B.T))


def _panel(regime: str, run: Run) -> Panel:
    target = np.array(numbers.TARGET)
    return {"title": numbers.TITLES[regime], "ts": run.ts, "mean": run.mean, "cov": run.cov, "target": target}


def _report(checks: tuple[Check, ...]) -> dict[str, object]:
    return {"target": NAME, "checks": [check.to_dict() for check in checks], "provenance": provenance()}
