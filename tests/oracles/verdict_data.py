"""Datasets and comparisons for verdicts, made so that one thing happens in each."""

import numpy as np
import xarray as xr

from attnflow.diagnostics.pairing import Drift, Overlap, Pairing
from attnflow.doors.diagnosis.verdict import DiagnosisVerdict, make_verdict
from attnflow.doors.diagnosis.verdict_finding import Kind

BLOCKS, HEADS, DIM = 6, 3, 64
TEXT = {"input": "text", "bounded_by_norm": False, "dim": DIM}
FLAT = np.ones(BLOCKS + 1)
DEPTH = np.arange(BLOCKS + 1)


def quiet(*, repeats: int = 20, over: str = "sequence", noise: float = 0.02, **paths: np.ndarray) -> xr.Dataset:
    """A network in which nothing happens, except for the `paths` (l+1,) that are given by name."""
    rng = np.random.default_rng(5)
    middle = {
        "cov_trace": 40.0 * FLAT, "mean_norm": FLAT, "effective_rank": 30.0 * FLAT, "token_cosine": 0.05 * FLAT,
        "sliced_w2_scaled": 0.02 * FLAT, "mmd": 0.003 * FLAT, "massive_share": 0.0 * FLAT,
    } | paths  # fmt: skip
    states = {
        name: ((over, "layer"), value * np.exp(noise * rng.normal(size=(repeats, BLOCKS + 1))))
        for name, value in middle.items()
    }
    states["sliced_w2_floor"] = ((over, "layer"), np.full((repeats, BLOCKS + 1), 0.02))
    channel = np.full((repeats, BLOCKS + 1, 3), -1)
    states["massive_channel"] = ((over, "layer", "rank"), channel)
    states["tokens"] = (over, np.full(repeats, 500))
    return xr.Dataset(states | theory(repeats, over))


def theory(repeats: int, over: str, *, r2=0.95, ceiling=0.98, control=0.5, variance=2.0) -> dict:
    def block(value):
        return ((over, "block"), np.broadcast_to(np.asarray(value, float), (repeats, BLOCKS)).copy())

    r2, ceiling = np.asarray(r2, float), np.asarray(ceiling, float)
    missing = np.isnan(np.broadcast_to(r2, (BLOCKS,)))
    return {
        "r2": block(r2 - 0.1), "r2_finite_n": block(r2), "r2_ceiling": block(ceiling - 0.1),
        "r2_finite_n_ceiling": block(ceiling), "r2_control": block(control), "r2_finite_n_control": block(control),
        "r2_mean_only": block(0.0), "two_log_n": block(12.0),
        "trusted": ((over, "block"), block((r2 >= 0.9 * ceiling) & (ceiling > 0.1))[1] > 0),
        "logit_variance": (
            (over, "block", "head"), np.broadcast_to(variance, (repeats, BLOCKS, HEADS)).astype(float).copy(),
        ),
        "reason": ("block", np.where(missing, "windows have no single (B, V)", "R^2 says so").astype(str)),
    }  # fmt: skip


def with_theory(**numbers) -> xr.Dataset:
    return quiet().assign(theory(20, "sequence", **numbers))


def judge(layers: xr.Dataset, comparison: Pairing | None = None, **info) -> DiagnosisVerdict:
    return make_verdict(layers, comparison, TEXT | info)


def texts(verdict: DiagnosisVerdict, kind: Kind = Kind.MEASURED) -> str:
    return "\n".join(finding.text for finding in verdict.findings if finding.kind is kind)


def name_massive(layers: xr.Dataset, named: list[list[tuple[int, float]]]) -> None:
    """Which coordinates are massive in each sequence at layer 4, in which share of its tokens."""
    layers["massive_channel_share"] = layers["massive_channel"] * 0.0
    for i, channels in enumerate(named):
        for j, (channel, share) in enumerate(channels):
            layers["massive_channel"][i, 4, j], layers["massive_channel_share"][i, 4, j] = channel, share


def pairing(*, kept=0.83, drift=None, start=None, **fields) -> Pairing:
    rng = np.random.default_rng(1)
    each = rng.binomial(10, kept, size=400) / 10
    value = np.zeros(7) if drift is None else np.asarray(drift, float)
    return Pairing(
        **{
            "inputs": 400, "cosine": 1 - 0.01 * rng.gamma(2.0, size=400), "identical": False, "notes": (),
            "overlap": Overlap(10, each, kept, kept - 0.012, kept + 0.011, 10 / 399),
            "drift": Drift(value, 0.9 * value, 1.1 * value, start),
        } | fields
    )  # fmt: skip
