"""Rows of measurements as one labelled dataset."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...diagnostics.attention import Attention
from ...diagnostics.head_table import head_table
from .inputs import Inputs
from .pool import pooled
from .row import LEVELS, PER_BLOCK, PER_HEAD, PER_STATE, Row
from .validity import validity

WORDS = {
    "mean_norm": "Euclidean norm of the mean of the tokens",
    "cov_trace": "trace of the covariance of the tokens",
    "effective_rank": "tr(cov)^2 / tr(cov^2)",
    "numerical_rank": "eigenvalues above d eps of the largest",
    "token_cosine": "mean cosine of two different tokens",
    "sliced_w2": "sliced 2-Wasserstein distance to the Gaussian of the same mean and covariance",
    "sliced_w2_scaled": "the same in units of sqrt(tr cov / d)",
    "sliced_w2_floor": "what independent Gaussian tokens would have, in units of sqrt(tr cov / d)",
    "mmd": "maximum mean discrepancy to that Gaussian (root of the V-statistic, h^2 = tr cov)",
    "mmd_floor": "what independent Gaussian tokens would have",
    "normality_p": "p-value of the test of Henze and Zirkler; NaN: the tokens are too few for one",
    "massive_share": "share of tokens with a massive coordinate",
    "massive_channel": "coordinates that are massive in most tokens; -1: none",
    "massive_channel_share": "share of tokens in which that coordinate is massive",
    "spectrum": "eigenvalues of the covariance, falling, mean over the inputs",
    "marginal": "quantiles of the coordinate `marginal_coordinate`, whose variance is nearest to the median",
    "r2": "R^2 of the mean-field Gaussian prediction of the attention output; NaN: none, see `reason`",
    "r2_finite_n": "R^2 of the prediction with the exact correction for finitely many keys; NaN: there is none",
    "r2_ceiling": "R^2 of the mean-field prediction for tokens that are exactly Gaussian",
    "r2_finite_n_ceiling": "R^2 of the corrected prediction for tokens that are exactly Gaussian",
    "r2_mean_only": "R^2 of the constant prediction from the mean alone",
    "r2_control": "R^2 of the prediction for tokens of another law with the same mean and covariance",
    "r2_finite_n_control": "the same for the corrected prediction",
    "predicted_growth": "relative growth rate of tr cov by attention alone, predicted",
    "measured_growth": "relative growth rate of tr cov by attention alone, measured",
    "two_log_n": "2 log n: beyond this logit variance single keys hold the weight",
    "recomputed": "relative difference of the attention recomputed from the weights",
    "trusted": "whether the Gaussian prediction holds for one input: see docs/theory/diagnose.md",
    "valid": "whether it holds over all inputs together",
    "reason": "why it holds or not, over all inputs together",
    "logit_variance": "E xi^T cov xi over the queries: the variance of the logits over the keys",
    "effective_keys": "median of 1 / sum p^2 over the queries: how many keys hold the weight",
}


def layer_dataset(encoder: object, inputs: Inputs, rows: list[Row], axes: np.ndarray) -> xr.Dataset:
    """The dataset `layers` of the `rows`, one for each of the first `inputs`, of `encoder`.

    `axes` are the directions of the sliced distance.
    """
    S = "batch" if inputs.kind == "gaussian" else "sequence"
    stacked = {name: np.stack([row[name] for row in rows]) for name in (*PER_STATE, *PER_BLOCK, *PER_HEAD)}
    extra = ("sliced_w2_floor", "normality_p", "massive_channel", "massive_channel_share", "trusted", "tokens")
    stacked |= {name: np.stack([row[name] for row in rows]) for name in extra}
    axes_of: dict[str, tuple[str, ...]] = dict.fromkeys((*PER_STATE, "sliced_w2_floor", "normality_p"), (S, "layer"))
    axes_of |= dict.fromkeys(("massive_channel", "massive_channel_share"), (S, "layer", "rank"))
    axes_of |= dict.fromkeys((*PER_BLOCK, "trusted"), (S, "block"))
    axes_of |= dict.fromkeys(PER_HEAD, (S, "block", "head")) | {"tokens": (S,)}
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        name: (axes_of[name], value) for name, value in stacked.items()
    }
    holds, reasons = validity(rows)
    arrays |= {"valid": (("block",), holds), "reason": (("block",), reasons)}
    arrays["spectrum"] = (("layer", "eigenvalue"), np.mean([row["spectrum"] for row in rows], axis=0))
    arrays |= _whole(inputs, rows, axes)
    attentions = getattr(encoder, "attentions", ())
    arrays |= _heads(attentions, heads=stacked[PER_HEAD[0]].shape[2])
    L = stacked["cov_trace"].shape[1] - 1
    coordinates = {
        S: np.arange(len(rows)), "layer": np.arange(L + 1), "block": np.arange(L),
        "head": np.arange(stacked[PER_HEAD[0]].shape[2]), "level": (np.arange(LEVELS) + 0.5) / LEVELS,
    }  # fmt: skip
    found = xr.Dataset(arrays, coordinates)
    for name, words in WORDS.items():
        if name in found:
            found[name].attrs["long_name"] = words
    return found


def _whole(inputs: Inputs, rows: list[Row], axes: np.ndarray) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """The marginals, of the first batch or of all sequences; for sequences also the pooled measurements."""
    if not inputs.real:
        quantiles, coordinates = rows[0]["marginal"], rows[0]["marginal_coordinate"]
        more: dict[str, np.ndarray] = {}
    else:
        more, quantiles, coordinates = pooled(rows, axes)
    return {
        "marginal": (("layer", "level"), quantiles),
        "marginal_coordinate": (("layer",), coordinates),
        **{name: (("layer",), values) for name, values in more.items()},
    }


def _heads(attentions: tuple[Attention | str, ...], *, heads: int) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """The table of heads; a block without known heads has NaN."""
    tables = [None if isinstance(a, str) else head_table(a) for a in attentions]
    names = next((tuple(t) for t in tables if t is not None), ())
    missing = np.full(heads, np.nan)
    return {
        name: (("block", "head"), np.stack([missing if t is None else np.asarray(t[name]) for t in tables]))
        for name in names
    }
