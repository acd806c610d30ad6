"""Newton steps where the linearisation is too large to be formed: GMRES with a frozen Lyapunov preconditioner."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float
from scipy.linalg import schur
from scipy.sparse.linalg import LinearOperator, gmres

from ..system import System
from .lyapunov import solve_triangular_lyapunov

SHARPEST, COARSEST = 1e-4, 5e-2  # relative accuracy of a step: a sharper one costs more than another step
SINGLE = np.float32
RESTART, CYCLES = 40, 6


def lyapunov_part(system: System, cov: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """N (d, d) such that F'(`cov`) D = N D + D N^T + terms that vanish when every V_h of `system` is tr(V_h)/d I."""
    etas = np.trace(system.V, axis1=1, axis2=2) / system.dim if system.scalars is None else system.scalars
    return np.asarray(system.generator(cov) + cov @ np.einsum("h,hij->ji", etas, system.B))


class KrylovSteps:
    """Newton steps for `system`, in single precision: the next step corrects this one.

    Plain GMRES as long as it converges. From the first step at which it does not, the Lyapunov operator at the
    covariance `cov` is the preconditioner, and everything happens in its Schur basis.
    """

    def __init__(self, system: System, cov: Float[np.ndarray, "d d"]) -> None:
        self.system, self.start = system, cov
        self.preconditioned = False

    def __call__(self, cov: Float[np.ndarray, "d d"], rate: Float[np.ndarray, "d d"]) -> np.ndarray | None:
        """The D with F'(`cov`) D = -`rate`, roughly; None if not finite."""
        generator, scale = self.system.generator(cov), float(np.abs(rate).max())
        size = float(np.linalg.norm(generator) * np.linalg.norm(cov)) or 1.0
        accuracy = float(np.clip(np.sqrt(np.linalg.norm(rate) / size) / 3, SHARPEST, COARSEST))
        pairs = [(V, B @ cov) for V, B in zip(self.system.V, self.system.B, strict=True)]
        if not self.preconditioned:
            operator = _linearisation(generator, pairs)
            flat, failed = gmres(operator, _single(rate / -scale), rtol=accuracy, restart=RESTART, maxiter=1)
            self.preconditioned = bool(failed)
        if self.preconditioned:
            triangular, Z = self._schur
            operator = _linearisation(Z.T @ generator @ Z, [(Z.T @ V @ Z, Z.T @ K @ Z) for V, K in pairs])
            target = Z.T @ (rate / -scale) @ Z
            flat, _ = gmres(
                operator, _single(0.5 * (target + target.T)), rtol=accuracy, restart=RESTART, maxiter=CYCLES,
                M=LinearOperator(operator.shape, matvec=functools.partial(_invert, triangular), dtype=SINGLE),
            )  # fmt: skip
        step = scale * flat.reshape(cov.shape).astype(np.float64)
        step = Z @ step @ Z.T if self.preconditioned else step
        return np.asarray(0.5 * (step + step.T)) if np.isfinite(step).all() else None

    @functools.cached_property
    def _schur(self) -> tuple[np.ndarray, np.ndarray]:
        triangular, basis = schur(lyapunov_part(self.system, self.start))
        return triangular.astype(SINGLE), basis


def _linearisation(generator: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> LinearOperator:
    """D -> N + N^T, N = generator D + sum V D K over the `pairs` (V, K), on flat matrices in single precision."""
    M, heads = generator.astype(SINGLE), [(V.astype(SINGLE), K.astype(SINGLE)) for V, K in pairs]

    def act(flat: np.ndarray) -> np.ndarray:
        direction = flat.reshape(M.shape)
        half = sum((V @ (direction @ K) for V, K in heads), M @ direction)
        return np.asarray((half + half.T).ravel())

    return LinearOperator((M.size, M.size), matvec=act, dtype=SINGLE)


def _invert(triangular: np.ndarray, flat: np.ndarray) -> np.ndarray:
    return solve_triangular_lyapunov(triangular, flat.reshape(triangular.shape)).ravel()


def _single(matrix: np.ndarray) -> np.ndarray:
    return matrix.astype(SINGLE).ravel()
