"""The systems of the theorem tests, one flow function for all of them, and oracles that share no code with the package.

`C1` ... `C5` have V < 0 < B (symmetric); `T1` ... `T5` have V = I, S = 2 B = B + B^T <= 0. The errata page names them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import schur, solve_continuous_lyapunov

import attnflow as af


@dataclasses.dataclass(frozen=True)
class System:
    """A, B (d, d) and V, a scalar or (d, d)."""

    A: np.ndarray
    B: np.ndarray
    V: np.ndarray | float

    @property
    def value(self) -> np.ndarray:
        return np.asarray(self.V) * np.eye(len(self.A)) if np.ndim(self.V) == 0 else np.asarray(self.V)

    @property
    def S(self) -> np.ndarray:
        return float(self.V) * (self.B + self.B.T)

    def generator(self, cov) -> np.ndarray:
        return self.A + self.value @ cov @ self.B

    def rate(self, cov) -> np.ndarray:
        half = self.generator(cov) @ cov
        return half + half.T


def system(A, B, V) -> System:
    return System(np.array(A, float), np.array(B, float), V if np.ndim(V) == 0 else np.array(V, float))


C1 = system([[1, 0], [-2, 1]], np.diag([1, 3]), -np.diag([1, 3]))
C2 = system([[2, -1], [3, 3]], [[1, -1], [-1, 4]], -np.diag([1, 5]))
C3 = system([[1, 1], [-1, 1]], [[1, 1], [1, 2]], -np.diag([1, 8]))
C3B = system([[2, -1], [3, 3]], [[3, -2], [-2, 3]], -np.diag([1, 5]))
C4 = system([[1, -1], [3, -2]], np.eye(2), -np.diag([1, 8]))
C4B = system([[1, -1], [3, -2]], [[6, -6], [-6, 7]], -np.diag([1, 10]))
C5 = system([[0, 1 / 16], [-16, 0]], [[256, -15], [-15, 1]], [[-1, -0.5], [-0.5, -1]])

T1 = system(np.eye(2), np.diag([-1, 0]), 1.0)
T2 = system(np.zeros((2, 2)), np.diag([-1, 0]), 1.0)
T3 = system([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.diag([-1, 0, 0]), 1.0)
T4 = system([[0, 1], [0, 0]], np.diag([0, -1]), 1.0)
T5 = system([[1, -1], [1, 1]], -np.eye(2), 1.0)


def flow(case: System, cov, ts, *, mean=None, b=None, **options) -> af.Run:
    """The flow by the package, from moments (mean zero unless given); one engine for matrix V, compiled once."""
    options = options if np.ndim(case.V) == 0 else {"engine": "factor_ode", **options}
    model = af.Transformer(attention=af.SoftmaxAttention(B=case.B, V=case.V), feedforward=af.Affine(A=case.A, b=b))
    mean = np.zeros(len(case.A)) if mean is None else np.asarray(mean, float)
    return af.simulate(model, af.Gaussian.from_moments(mean, np.asarray(cov, float)), ts=ts, **options)


def final(case: System, cov, t: float, **options) -> np.ndarray:
    """The covariance at time t. Four times, so that all tests of one dimension share one compiled solver."""
    return flow(case, cov, t * np.array([0.25, 0.5, 0.75, 1.0]), **options).cov[-1]


def integrated(case: System, factor, ts, *, rtol: float = 1e-11) -> np.ndarray:
    """Covariances (t, d, d) by SciPy's Radau on the factor, for long times near an attractor."""
    factor = np.asarray(factor, float)

    def rhs(_, y):
        L = y.reshape(factor.shape)
        return (case.generator(L @ L.T) @ L).ravel()

    sol = solve_ivp(rhs, (0.0, ts[-1]), factor.ravel(), "Radau", t_eval=ts, rtol=rtol, atol=1e-3 * rtol)
    assert sol.status == 0, sol.message
    L = sol.y.T.reshape(len(ts), *factor.shape)
    return L @ np.swapaxes(L, 1, 2)


def unstable_limit(A, S) -> np.ndarray:
    """X = E W^{-1} E^T on the unstable subspace of A: the matrix that Theorem 4.1 names."""
    T, Z, count = schur(np.asarray(A, float), sort=lambda re, im: re > 1e-6)
    E, block = Z[:, :count], T[:count, :count]
    W = solve_continuous_lyapunov(block.T, -E.T @ S @ E)
    return E @ np.linalg.solve(W, E.T) if count else np.zeros_like(Z)


def linearised(case: System, cov) -> np.ndarray:
    """The eigenvalues of X -> M X + X M^T + V X B cov + cov B^T X V^T on symmetric matrices, by brute force."""
    d, M, V = len(cov), case.generator(cov), case.value
    pairs = [(i, j) for i in range(d) for j in range(i, d)]
    columns = []
    for i, j in pairs:
        X = np.zeros((d, d))
        X[i, j] = X[j, i] = 1.0
        half = M @ X + V @ X @ case.B @ cov
        columns.append([(half + half.T)[p] for p in pairs])
    return np.linalg.eigvals(np.array(columns).T)


def below(small, large, slack: float = 1e-12) -> bool:
    """small <= large in the order of symmetric matrices, up to rounding."""
    return bool(np.linalg.eigvalsh(large - small).min() >= -slack * max(1.0, np.linalg.norm(large)))
