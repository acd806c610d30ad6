"""Spectra of the heads of one attention layer: what the sign conditions of theorems look at, and why signs do not help.

Source: this package, docs/theory/diagnose.md, section 6.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from .attention import Attention

ROUNDING = float(np.finfo(np.float32).eps)
"""Of the weights. An eigenvalue below d times this of the largest counts as zero."""

Table = dict[str, Float[np.ndarray, " h"] | Int[np.ndarray, " h"]]


def head_table(attention: Attention) -> Table:
    """What the forms B = scale K^T Q and V = O V_h of each head of `attention` look like.

    Arrays (h,):

    - `B_trace_ratio`, `V_trace_ratio`: trace over nuclear norm of the symmetric part, between -1 (negative
      semidefinite) and 1 (positive semidefinite);
    - `B_largest`, `B_smallest`, `V_largest`, `V_smallest`: the extreme eigenvalues of the symmetric parts;
    - `B_positive`, `B_negative`, `V_positive`, `V_negative`: how many of these eigenvalues are positive and negative;
    - `B_skew_ratio`, `V_skew_ratio`: Frobenius norm of the skew part over that of the symmetric part;
    - `B_norm`, `V_norm`: the largest singular values; `rank_B`, `rank_V`: the numerical ranks.

    Counting signs says nothing of a real head: for 2 k <= d and weights in general position the symmetric part of a
    product of rank k has exactly k positive and k negative eigenvalues. So neither B nor V is ever definite, whatever
    was learned; the trace ratios show which side weighs more. With rotary positions B is the form at offset 0.

    Source: this package, docs/theory/diagnose.md, section 6.
    """
    query, key, value, output = (
        np.asarray(w, np.float64) for w in (attention.query, attention.key, attention.value, attention.output)
    )
    rows = [
        _of_product("B", attention.scale * key[i].T, query[i].T) | _of_product("V", output[i], value[i].T)
        for i in range(attention.heads)
    ]
    return {name: np.array([row[name] for row in rows]) for name in sorted(rows[0])}


def layer_table(attention: Attention) -> dict[str, float]:
    """The trace ratios `B_trace_ratio` and `V_trace_ratio`, as in `head_table`, of the sums over all heads.

    Source: this package, docs/theory/diagnose.md, section 6.
    """
    d = attention.dim
    products = {
        "B_trace_ratio": attention.scale * attention.key.reshape(-1, d).T @ attention.query.reshape(-1, d),
        "V_trace_ratio": attention.output.transpose(1, 0, 2).reshape(d, -1) @ attention.value.reshape(-1, d),
    }
    spectra = {name: np.linalg.eigvalsh(0.5 * (M + M.T).astype(np.float64)) for name, M in products.items()}
    return {name: _trace_ratio(values) for name, values in spectra.items()}


def symmetric_spectrum(left: Float[np.ndarray, "d k"], right: Float[np.ndarray, "d k"]) -> Float[np.ndarray, " s"]:
    """The s = min(d, 2 k) eigenvalues, rising, of the symmetric part of `left` `right`^T that may differ from 0.

    With [left, right] = U R, U orthonormal, it is U (R_left R_right^T + its transpose) U^T / 2: one problem of size s.

    Source: this package, docs/theory/diagnose.md, section 6.
    """
    k = left.shape[1]
    R = _triangular(np.concatenate([left, right], axis=1))
    product = R[:, :k] @ R[:, k:].T
    return np.asarray(np.linalg.eigvalsh(0.5 * (product + product.T)))


def _of_product(name: str, left: Float[np.ndarray, "d k"], right: Float[np.ndarray, "d k"]) -> dict[str, float | int]:
    values = symmetric_spectrum(left, right)
    inner = right.T @ left
    whole, square = np.sum((left.T @ left) * (right.T @ right)), np.sum(inner * inner.T)  # |M|_F^2 and tr M^2
    symmetric, skew = 0.5 * (whole + square), 0.5 * (whole - square)
    singular = np.linalg.svd(_triangular(left) @ _triangular(right).T, compute_uv=False)
    zero = left.shape[0] * ROUNDING * np.abs(values).max(initial=0.0)
    return {
        f"{name}_trace_ratio": _trace_ratio(values),
        f"{name}_largest": float(values.max(initial=0.0)),
        f"{name}_smallest": float(values.min(initial=0.0)),
        f"{name}_positive": int(np.sum(values > zero)),
        f"{name}_negative": int(np.sum(values < -zero)),
        f"{name}_skew_ratio": float(np.sqrt(max(skew, 0.0) / symmetric)) if symmetric > 0 else 0.0,
        f"{name}_norm": float(singular.max(initial=0.0)),
        f"rank_{name}": int(np.sum(singular > left.shape[0] * ROUNDING * singular.max(initial=0.0))),
    }


def _triangular(matrix: Float[np.ndarray, "d k"]) -> Float[np.ndarray, "s k"]:
    """R with `matrix` = U R and orthonormal columns of U."""
    return np.asarray(np.linalg.qr(matrix, mode="r"))


def _trace_ratio(values: Float[np.ndarray, " s"]) -> float:
    size = float(np.abs(values).sum())
    return float(values.sum()) / size if size > 0 else 0.0
