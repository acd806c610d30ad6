"""Ranks of the limits of many random systems: `ensemble` against projected Euler steps as published."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import numpy as np

from attnflow.doors.ensemble import Ensemble, ensemble
from attnflow.measures.gaussian import Gaussian
from attnflow.reproduce.castin2025 import plain, starts, weights
from attnflow.reproduce.castin2025.projected_euler import End, Outcome, projected_euler
from attnflow.transformer.softmax import SoftmaxAttention

from .report import Row
from .timing import race

DIMENSIONS = (3, 4, 5)
STEP, TOL, CONVERGED_WITHIN = 0.1, 5e-5, 60_000
END, SETTLE = 1e6, 1e10
VALUE_SEED = 26
# systems in a batch of ours, samples of theirs
MANY = {None: {3: 100_000, 4: 100_000, 5: 100_000}, VALUE_SEED: {3: 10_000, 4: 2_000, 5: 1_000}}
SAMPLES = 4


def drawn(d: int, count: int, *, identity: bool) -> tuple[SoftmaxAttention, Gaussian]:
    """`count` systems of the published distribution, stacked."""
    rng = np.random.default_rng(d)
    Q, G, L = (rng.standard_normal((count, k, d)) for k in (d // 2, d, d))
    B = -np.swapaxes(Q, 1, 2) @ Q / np.sqrt(d)
    V = np.ones(count) if identity else np.swapaxes(G, 1, 2) @ G
    layer = SoftmaxAttention(B=np.eye(d), V=1.0 if identity else np.eye(d))
    return eqx.tree_at(lambda one: (one.B, one.V), layer, (B, V)), Gaussian(np.zeros((count, d)), L)


def published(d: int, seed: int | None) -> tuple[list[SoftmaxAttention], list[Gaussian]]:
    """The published samples themselves."""
    heads = [SoftmaxAttention(B=w.scaled_form, V=1.0 if seed is None else w.V) for w in weights.for_ranks(d, seed)]
    return heads, [Gaussian(np.zeros(d), np.linalg.cholesky(cov)) for cov in starts.wishart(d, len(heads))]


def theirs(d: int, seed: int | None, samples: int) -> Callable[[], list[End]]:
    """The published algorithm on the first samples on which it converges."""
    pairs = list(zip(weights.for_ranks(d, seed), starts.wishart(d, weights.RANK_SAMPLES), strict=True))

    def run(weight: weights.Weights, cov: np.ndarray) -> End:
        return projected_euler(plain.softmax(weight), cov, step=STEP, tol=TOL, max_steps=CONVERGED_WITHIN)

    kept = []
    for weight, cov in pairs:
        if len(kept) < samples and run(weight, cov).outcome is Outcome.CONVERGED:
            kept.append((weight, cov))
    return lambda: [run(*pair) for pair in kept]


def rows(*, quick: bool = False) -> list[Row]:
    found: list[Row] = []
    for seed in (None, VALUE_SEED):
        for d in DIMENSIONS[:1] if quick else DIMENSIONS:
            found += _panel(d, seed, quick=quick)
    return found


def _panel(d: int, seed: int | None, *, quick: bool) -> list[Row]:
    count, samples = MANY[seed][d] // (10 if quick else 1), 2 if quick else SAMPLES
    model, first = drawn(d, count, identity=seed is None)
    candidates = {"attnflow": lambda: ensemble(model, first, [END]), "Euler": theirs(d, seed, samples)}
    taken = race(candidates, rounds=3)
    ours, peer = taken["attnflow"] / count, taken["Euler"] / samples
    words = f"V = {'I' if seed is None else 'G^T G'}, d = {d}"
    detail = f"attnflow {1e6 * ours:.3g} us, projected Euler {1e3 * peer:.3g} ms a sample"
    bar, most = (1e4, 5.0) if seed is None else (100.0, {3: 100.0, 4: 300.0, 5: 1000.0}[d])
    return [
        Row(f"{words}: projected Euler / attnflow, a system", peer / ours, bar, detail=detail),
        Row(f"{words}: microseconds a system", 1e6 * ours, most, False),
        *_exactness(words, d, ensemble(*published(d, seed), [END], settle=SETTLE)),
    ]


def _exactness(words: str, d: int, found: Ensemble) -> list[Row]:
    wrong = np.count_nonzero(found.limit_rank != d - d // 2)
    doubt = np.count_nonzero(found.undecided)
    return [
        Row(f"{words}: published samples with a rank that is wrong", wrong, 0.0, False),
        Row(f"{words}: published samples undecided", doubt, 0.0, False),
    ]
