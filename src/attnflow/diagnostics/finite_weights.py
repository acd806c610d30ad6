"""Expected softmax weights for queries that each see another number of keys: from few tables of `finite_n_table`.

Source: this package, docs/theory/diagnose.md, section 3.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float, Int

from ..moments.finite_n_table import LOGITS, SCALE, VARIANCES, weight_table

NODES = np.array([1, 2, 3, *2 ** np.arange(2, 31)])
"""Numbers of keys that have a table; between them the weights are cubic in the logarithm of the number."""


def expected_weights(
    s2: Float[np.ndarray, "h m"], q: Float[np.ndarray, "h m"], counts: Int[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, "h m"], Float[np.ndarray, "h m"]]:
    """The query's own weight, and the pull 1 - own - collision, of queries that are among their `counts` (m,) keys.

    `s2` is the variance of the logits of the other keys, `q` the query's own logit above their mean, both (h, m).
    Absolute error: 1e-5 where the count is a node (3 and the powers of two), else some 1e-3, at most 4e-3.

    Source: this package, docs/theory/finite-n.md, section 4; this package, docs/theory/diagnose.md, section 3.
    """
    found = np.zeros((2, *s2.shape))
    different, where = np.unique(counts, return_inverse=True)
    shares = np.stack([_shares(int(count)) for count in different])[where]
    for j in np.flatnonzero(shares.any(axis=0)):
        some = shares[:, j] != 0
        found[:, :, some] += shares[some, j] * _from_table(s2[:, some], q[:, some], int(NODES[j]))
    return found[0], found[1]


def _shares(count: int) -> Float[np.ndarray, " nodes"]:
    """How the weights at `count` keys are made of those at the nodes: by Lagrange's formula on the four nearest."""
    shares = np.zeros(NODES.size)
    above = int(np.searchsorted(NODES, count))
    if NODES[above] == count:
        shares[above] = 1.0
        return shares
    near = np.arange(4) + min(max(above - 2, 0), NODES.size - 4)
    x = np.log(NODES[near])
    for i, j in enumerate(near):
        others = np.delete(x, i)
        shares[j] = np.prod((np.log(count) - others) / (x[i] - others))
    return shares


@functools.lru_cache(maxsize=NODES.size)
def _coefficients(n: int) -> tuple[np.ndarray, float, float]:
    """The spline of `weight_table`: own weight and collision as one complex number, and the range of b."""
    table = weight_table(n, self_key=True)
    return np.ascontiguousarray(table.coefficients).view(np.complex128).ravel(), table.low, table.high


def _from_table(s2: np.ndarray, q: np.ndarray, n: int) -> Float[np.ndarray, "2 h m"]:
    """The spline of `weight_table` at s2 and q, as in `attnflow.moments.finite_n_table`, without derivatives."""
    coefficients, low, high = _coefficients(n)
    height = np.sqrt(SCALE**2 + s2)
    row, wa = _cubic((1 - SCALE / height) * (VARIANCES - 1), VARIANCES)
    column, wb = _cubic((np.clip(q / height, low, high) - low) / (high - low) * (LOGITS - 1), LOGITS)
    corner = row * (LOGITS + 2) + column
    found = np.zeros(s2.shape, np.complex128)
    for i in range(4):
        for j in range(4):
            found += wa[i] * wb[j] * coefficients.take(corner + (i * (LOGITS + 2) + j))
    return np.stack([found.real, 1 - found.real - found.imag])


def _cubic(position: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.clip(np.floor(position), 0, size - 2)
    f = position - first
    g = 1 - f
    weights = np.stack([g**3, 3 * f**3 - 6 * f**2 + 4, 3 * g**3 - 6 * g**2 + 4, f**3]) / 6
    return first.astype(np.int64), weights
