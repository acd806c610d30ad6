"""Datasets as a diagnosis makes them, invented: the sizes of a small encoder, without running one."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from scipy.stats import norm, t

LEVELS = np.linspace(0.005, 0.995, 199)
CAUSAL = "rotary heads with windows: no single (B, V)"


def diagnosis(
    *, blocks: int = 6, repeats: int = 20, heads: int = 12, dim: int = 384, kind: str = "gaussian",
    unpredicted: tuple[int, ...] = (), seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """The measurements of an encoder with so many `blocks`; those in `unpredicted` have no prediction."""
    rng = np.random.default_rng(seed)
    over = "batch" if kind == "gaussian" else "sequence"
    n = np.full(repeats, 8192) if kind == "gaussian" else rng.integers(8, 60, size=repeats)
    coords = {
        "layer": np.arange(blocks + 1), "block": np.arange(blocks), "head": np.arange(heads),
        over: np.arange(repeats), "eigenvalue": np.arange(dim), "level": LEVELS, "rank": np.arange(3),
    }  # fmt: skip
    values = {
        **_states(rng, over, n, blocks, dim),
        **_theory(rng, over, n, blocks, heads, unpredicted),
        **_shapes(rng, blocks, dim),
        **_heads(rng, blocks, heads),
    }
    if kind == "text":
        values |= _pooled(values)
    attrs = {
        "kind": "diagnosis", "input": kind, "seed": seed, "batches": repeats,
        "model": json.dumps({"name": "tiny", "family": "BERT"}),
        "verdict": json.dumps({"line": "rank falls"}), "provenance": json.dumps({}),
    }  # fmt: skip
    return xr.Dataset(values, coords=coords, attrs=attrs)


def comparison(*, blocks: int = 6, inputs: int = 400, seed: int = 0) -> xr.Dataset:
    """Two models on the same inputs: most outputs stay, a few move; the drift starts at layer 3."""
    rng = np.random.default_rng(seed)
    drift = np.where(np.arange(blocks + 1) < 3, 1e-4, 0.05 * (np.arange(blocks + 1) - 2.0))
    return xr.Dataset(
        {
            "cosine": ("sequence", 1.0 - 0.02 * rng.gamma(1.5, size=inputs)),
            "overlap": ("sequence", 0.1 * (7 + rng.permutation(inputs) % 4)),
            "drift": ("layer", drift), "drift_low": ("layer", 0.93 * drift), "drift_high": ("layer", 1.08 * drift),
        },
        coords={"sequence": np.arange(inputs), "layer": np.arange(blocks + 1)},
        attrs={"drift_start": 3},
    )  # fmt: skip


def _noisy(rng, over, n, middle, size=0.03):
    """Values around `middle` (x,), one row for each repeat."""
    return ((over, "layer"), middle * np.exp(size * rng.normal(size=(len(n), len(middle)))))


def _states(rng, over, n, blocks, dim):
    depth = np.linspace(0.0, 1.0, blocks + 1)
    distance = np.sqrt(2.03 / n[:, None] + (0.15 * depth**4) ** 2)
    distance *= np.exp(0.02 * rng.normal(size=distance.shape))
    trace = _noisy(rng, over, n, dim * np.exp(-3.1 * depth**3))
    massive = 0.09 * np.clip(depth - 0.1, 0.0, None)
    shares = np.stack([massive, massive / 3, massive / 20], axis=1)[None] * np.ones((len(n), 1, 1))
    channels = np.where(shares > 0.001, np.array([99, 7, 310])[None, None], -1)
    return {
        "cov_trace": trace,
        "mean_norm": _noisy(rng, over, n, 0.05 + 6.0 * depth**2),
        "effective_rank": _noisy(rng, over, n, np.minimum(dim * np.exp(-3.0 * depth), n.min())),
        "numerical_rank": ((over, "layer"), np.minimum(n - 1, dim)[:, None] * np.ones(blocks + 1)),
        "token_cosine": _noisy(rng, over, n, 0.6 * depth**2),
        "sliced_w2_scaled": ((over, "layer"), distance),
        "sliced_w2": ((over, "layer"), distance * np.sqrt(trace[1] / dim)),
        "sliced_w2_floor": ((over, "layer"), np.sqrt(2.03 / n)[:, None] * np.ones(blocks + 1)),
        "mmd": ((over, "layer"), 0.2 * distance),
        "mmd_floor": ((over, "layer"), 0.2 * np.sqrt(2.03 / n)[:, None] * np.ones(blocks + 1)),
        "normality_p": ((over, "layer"), np.where(n[:, None] > dim, rng.uniform(size=(len(n), blocks + 1)), np.nan)),
        "massive_share": ((over, "layer"), massive * np.ones((len(n), 1))),
        "massive_channel": ((over, "layer", "rank"), channels),
        "massive_channel_share": ((over, "layer", "rank"), shares),
        "tokens": (over, n),
    }


def _theory(rng, over, n, blocks, heads, unpredicted):
    r2 = np.linspace(0.97, -6.0, blocks)[None] + 0.03 * rng.normal(size=(len(n), blocks))
    ceiling = np.clip(0.99 - 0.1 * rng.uniform(size=blocks), None, 1.0) * np.ones((len(n), 1))
    fields = {
        "r2": r2 - 0.1, "r2_finite_n": r2, "r2_ceiling": ceiling - 0.08, "r2_finite_n_ceiling": ceiling,
        "r2_mean_only": -0.02 * np.ones_like(r2), "r2_control": ceiling - 0.4,
        "predicted_growth": 0.05 * rng.normal(size=r2.shape), "measured_growth": 0.05 * rng.normal(size=r2.shape),
        "two_log_n": 2 * np.log(n)[:, None] * np.ones(blocks),
    }  # fmt: skip
    variance = np.exp(rng.normal(size=(1, blocks, heads)) + 0.1 * rng.normal(size=(len(n), blocks, heads)))
    reason = np.array(["the tokens are not Gaussian: R² is below the ceiling"] * blocks, dtype=object)
    missing = list(unpredicted)
    for array in (*fields.values(), variance):
        array[:, missing] = np.nan
    reason[missing] = CAUSAL
    return {
        **{name: ((over, "block"), array) for name, array in fields.items()},
        "trusted": ((over, "block"), fields["r2_finite_n"] > 0.9 * fields["r2_finite_n_ceiling"]),
        "logit_variance": ((over, "block", "head"), variance),
        "effective_keys": ((over, "block", "head"), n[:, None, None] / np.exp(variance)),
        "reason": ("block", reason.astype(str)),
    }


def _shapes(rng, blocks, dim):
    index = np.arange(dim)
    spectrum = np.stack([np.exp(-0.004 * index * layer) for layer in range(blocks + 1)])
    marginal = [(1 + 0.2 * i) * (norm if i < 2 else t(8 - min(i, 5))).ppf(LEVELS) + 0.1 for i in range(blocks + 1)]
    return {
        "spectrum": (("layer", "eigenvalue"), spectrum),
        "marginal": (("layer", "level"), np.array(marginal)),
        "marginal_coordinate": ("layer", rng.integers(dim, size=blocks + 1)),
    }


def _heads(rng, blocks, heads):
    ratios = {name: rng.uniform(-0.3, 0.3, size=(blocks, heads)) for name in ("B_trace_ratio", "V_trace_ratio")}
    counts = dict.fromkeys(("rank_B", "rank_V"), np.full((blocks, heads), 32))
    return {name: (("block", "head"), array) for name, array in (ratios | counts).items()}


def _pooled(values):
    names = ("cov_trace", "effective_rank", "mean_norm", "token_cosine", "sliced_w2_scaled", "sliced_w2_floor")
    return {f"pooled_{name}": ("layer", 1.1 * np.median(values[name][1], axis=0)) for name in names}
