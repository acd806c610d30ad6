"""What heads with rotary positions read from Gaussian keys: the form B depends on the offset of the key.

Source: this package, docs/theory/diagnose.md, section 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .attention import Attention
from .projected import HeadMoments, Seen
from .turning import as_complex, as_real, phases


class RotaryReading(NamedTuple):
    """`values` (h, m, k), without the mean of the values, and `variance` (h, m), the mean of s^2 over the keys."""

    values: Float[np.ndarray, "h m k"]
    variance: Float[np.ndarray, "h m"]


def rotary_values(attention: Attention, moments: HeadMoments, seen: Seen) -> RotaryReading:
    """The mean field of `attention` with rotary positions at the queries `seen`, with the `moments` of the tokens.

    Keys are independent Gaussians with the same moments at all positions; infinitely many of them at each offset of the
    query's keys. The tilted law at offset D has the weight exp(mean.xi_D + s_D^2 / 2) and the mean
    mean + cov xi_D; the average over the offsets is exact.

    Source: this package, docs/theory/diagnose.md, section 5.
    """
    assert attention.rotary is not None
    (h, n, k), m = seen.key.shape, seen.places.size
    first, last = attention.keys.bounds(seen.places, n)
    turns = phases(attention.rotary, -np.arange(-n, n))
    query = as_complex(attention.scale * (seen.query + moments.query[:, None])).astype(np.complex64)
    values, variance = np.empty((h, m, k)), np.empty((h, m))
    factors = [_factor(cov) for cov in moments.key_cov]
    for i in range(m):
        offsets = slice(int(first[i] - seen.places[i] + n), int(last[i] - seen.places[i] + n))
        for head in range(h):
            u = as_real(turns[offsets] * query[head, i])
            s2 = np.einsum("ij,ij->i", *[u @ factors[head]] * 2)
            level = u @ moments.key[head].astype(u.dtype) + 0.5 * s2
            weight = np.exp(level - level.max())
            values[head, i] = moments.cross_cov[head] @ (weight @ u / weight.sum())
            variance[head, i] = s2.mean()
    return RotaryReading(values, variance)


def _factor(cov: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k r"]:
    """F with F F^T = `cov`, without the directions that do not show in float32."""
    values, vectors = np.linalg.eigh(cov)
    visible = values > np.finfo(np.float32).eps * values.max(initial=0.0)
    return np.asarray(vectors[:, visible] * np.sqrt(values[visible]), np.float32)
