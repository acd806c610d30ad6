"""Random Gaussian flows for the property tests: one record that the package, the replay and highprec all understand."""

from __future__ import annotations

import dataclasses

import numpy as np

import attnflow as af
from oracles.replay import replay

Head = tuple  # (B, V, query_bias, value_bias); V may be a float, which means that multiple of the identity


@dataclasses.dataclass(frozen=True)
class System:
    """Parameters and start of one flow, in float64 NumPy."""

    A: np.ndarray
    b: np.ndarray
    heads: tuple[Head, ...]
    mean: np.ndarray
    factor: np.ndarray

    @property
    def dim(self) -> int:
        return len(self.A)

    def but(self, **changes) -> System:
        return dataclasses.replace(self, **changes)

    def model(self) -> af.Transformer:
        names = ("B", "V", "query_bias", "value_bias")
        heads = [af.SoftmaxAttention(**dict(zip(names, head, strict=True))) for head in self.heads]
        return af.Transformer(attention=heads, feedforward=af.Affine(A=self.A, b=self.b))

    def start(self) -> af.Gaussian:
        return af.Gaussian.from_factor(self.mean, self.factor)

    def parameters(self) -> tuple:
        """(A, b, heads) for the oracles, every V a matrix."""
        eye = np.eye(self.dim)
        return self.A, self.b, [(B, V * eye if np.ndim(V) == 0 else V, q, c) for B, V, q, c in self.heads]

    def run(self, ts, **options) -> af.Run:
        return af.simulate(self.model(), self.start(), ts=ts, **options)


def draw(rng, d: int, r: int, *, until: float = 1.5, **options) -> System:
    """A nonsymmetric system that neither blows up nor grows by more than 20 up to the time `until`.

    Options: `eta`, a number for every V instead of matrices; `heads`; `biases`; `size` of the entries.
    """
    while True:
        system = _draw(rng, d, r, **options)
        try:
            replay(system.parameters(), system.mean, system.factor, [until], rtol=1e-6, ceiling=20.0)
        except ArithmeticError:
            continue
        return system


def _draw(rng, d: int, r: int, *, eta: float | None = None, heads: int = 1, biases=False, size=0.5) -> System:
    def matrix(*shape: int) -> np.ndarray:
        return size * rng.standard_normal(shape) / np.sqrt(shape[-1])

    def head() -> Head:
        extra = (0.3 * rng.standard_normal(d), 0.3 * rng.standard_normal(d)) if biases else (None, None)
        return (matrix(d, d), matrix(d, d) if eta is None else eta, *extra)

    A, b, mean = 1.5 * matrix(d, d), rng.standard_normal(d), rng.standard_normal(d)
    return System(A, b, tuple(head() for _ in range(heads)), mean, matrix(d, r) + 0.8 * np.eye(d, r))


def distance(one, two) -> float:
    """Relative distance in the Frobenius norm, over all times together."""
    one, two = np.asarray(one), np.asarray(two)
    return float(np.linalg.norm(one - two) / max(np.linalg.norm(two), 1e-300))


def assert_same(one: af.Run, two: af.Run, tolerance: float) -> None:
    """Both runs reached the same times, with the same moments up to `tolerance`."""
    assert one.status == two.status
    assert one.ts.tolist() == two.ts.tolist()
    assert distance(one.mean, two.mean) <= tolerance
    assert distance(one.cov, two.cov) <= tolerance
