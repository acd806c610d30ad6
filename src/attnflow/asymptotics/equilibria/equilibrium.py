"""One equilibrium of the covariance, and what can be said about it."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Complex, Float
from scipy.linalg import eig
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs

from ..._linalg import numerical_rank
from ..linearisation import derivative, linearisation
from ..system import System
from .certificate import DENSE, EPS, Certificate, lyapunov, newton_kantorovich, plain_rate
from .krylov import lyapunov_part

ROUGH = 1e-3  # relative accuracy of those
RIGHTMOST = 4  # eigenvalues that are looked for where the linearisation is too large to be formed


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Equilibrium:
    """A covariance at rest under `system`, positive semidefinite: F(cov) = 0. Everything else is computed when asked.

    `cov` (d, d) is symmetric to the last bit. `dimension` is its rank where that is known from how it was found; left
    out, the rank is read off the eigenvalues.

    Source: :cite:alcalde2026, eq. (4.7).
    """

    system: System
    cov: Float[np.ndarray, "d d"]
    dimension: int | None = None

    @functools.cached_property
    def rank(self) -> int:
        """The rank: known from the construction, else the number of eigenvalues above the error bound and rounding."""
        if self.dimension is not None:
            return self.dimension
        eigenvalues = np.linalg.eigvalsh(self.cov)
        return min(numerical_rank(eigenvalues), int(np.count_nonzero(eigenvalues > (self.error_bound or 0.0))))

    @functools.cached_property
    def residual(self) -> float:
        """|F(cov)| in the Frobenius norm over the size of its terms, which cancel; 0 for the zero covariance."""
        rate, size = plain_rate(self.system, self.cov)
        return float(np.linalg.norm(rate)) / size if size else 0.0

    @functools.cached_property
    def _bound(self) -> tuple[Certificate, float | None]:
        if not self.cov.any():
            return Certificate.EXACT, 0.0
        scalar, small = self.system.scalars is not None, self.system.dim <= DENSE
        if (scalar or not small) and (bound := lyapunov(self.system, self.cov)) is not None:
            return Certificate.LYAPUNOV, bound
        if small and (bound := newton_kantorovich(self.system, self.cov)) is not None:
            return Certificate.NEWTON_KANTOROVICH, bound
        return Certificate.RESIDUAL, None

    @property
    def certificate(self) -> Certificate:
        """What `error_bound` rests on.

        For V = eta I a Lyapunov equation in any dimension, else the theorem of Newton and Kantorovich up to d = 40 and
        beyond that a Lyapunov equation if every V is close enough to a multiple of I; `residual` when none applies.
        """
        return self._bound[0]

    @property
    def error_bound(self) -> float | None:
        """A bound of |cov - true equilibrium|, rounding included; None when `certificate` is `residual`.

        In the spectral norm; with `newton_kantorovich` in the Frobenius norm too. It also says that the true one
        exists, is symmetric, and is the only one so near.

        Source: this package, docs/theory/long-run.md.
        """
        return self._bound[1]

    @functools.cached_property
    def margin(self) -> float:
        """The smallest of the `rank` leading eigenvalues, less `error_bound` and the rounding of eigenvalues.

        Positive: the true equilibrium has at least this rank. Without a bound nothing but rounding is taken off.
        """
        if self.rank == 0:
            return 0.0
        eigenvalues = np.linalg.eigvalsh(self.cov)
        rounding = 2 * eigenvalues.size * EPS * float(np.abs(eigenvalues).max())
        return float(eigenvalues[-self.rank]) - rounding - (self.error_bound or 0.0)

    @property
    def positive_definite(self) -> bool:
        """Whether the true equilibrium is positive definite, certified: full rank, an error bound, margin > 0."""
        return self.rank == self.system.dim and self.error_bound is not None and self.margin > 0

    @functools.cached_property
    def spectrum(self) -> Complex[np.ndarray, " m"]:
        """Eigenvalues of the linearisation on symmetric matrices, rightmost first.

        All m = d (d + 1) / 2 of them for V = eta I, where they are the sums of two eigenvalues of A + cov S, and up to
        d = 40; beyond that the few rightmost ones that an Arnoldi iteration finds (none when it does not converge).

        Source: this package, docs/theory/long-run.md.
        """
        return self._modes[0]

    @property
    def abscissa(self) -> float | None:
        """The largest real part in `spectrum`; None when the spectrum could not be had."""
        return float(self.spectrum[0].real) if self.spectrum.size else None

    @functools.cached_property
    def stable(self) -> bool | None:
        """Whether every small disturbance of the covariance dies out: all of `spectrum` lies left of 0.

        With a `lyapunov` certificate this is proved, at the true equilibrium. Else False if an eigenvalue lies right of
        0; None where rounding and the error bound, times the condition of an eigenvalue, leave its side open.

        Source: this package, docs/theory/long-run.md.
        """
        if self.certificate is Certificate.LYAPUNOV:
            return bool(np.trace(lyapunov_part(self.system, self.cov)) < 0)
        return _verdict(*self._modes)

    @functools.cached_property
    def _modes(self) -> tuple[np.ndarray, np.ndarray]:
        """The eigenvalues of the linearisation, rightmost first, and what each may be off by."""
        system, error = self.system, self.error_bound or 0.0
        if system.scalars is not None:
            values, room = _eigenvalues(system.A + self.cov @ system.S, error * _size(system.S))
            upper = np.triu_indices(len(values))
            sums, rooms = (np.add.outer(x, x)[upper] for x in (values, room))
        elif system.dim <= DENSE:
            sums, rooms = _eigenvalues(linearisation(system, self.cov), error * 4 * self._bend)
        else:
            sums = _rightmost(system, self.cov)
            rooms = 10 * ROUGH * np.abs(sums)
        order = np.argsort(-sums.real, kind="stable")
        return sums[order], rooms[order]

    @functools.cached_property
    def mean_spectrum(self) -> Complex[np.ndarray, " d"]:
        """The eigenvalues of the matrix that moves the mean at this covariance, rightmost first."""
        return self._mean_modes[0]

    @property
    def mean_abscissa(self) -> float:
        """The largest real part in `mean_spectrum`."""
        return float(self.mean_spectrum[0].real)

    @property
    def mean_stable(self) -> bool | None:
        """Whether the mean converges at this covariance; None where rounding leaves it open."""
        return _verdict(*self._mean_modes)

    @functools.cached_property
    def _mean_modes(self) -> tuple[np.ndarray, np.ndarray]:
        generator = self.system.mean_generator(self.cov)
        values, room = _eigenvalues(generator, (self.error_bound or 0.0) * self._bend)
        order = np.argsort(-values.real, kind="stable")
        return values[order], room[order]

    @functools.cached_property
    def mean(self) -> Float[np.ndarray, " d"] | None:
        """Where the mean is at rest, (d,): its limit if `mean_stable`. None when the matrix that moves it is singular.

        Source: :cite:alcalde2026, Thm. 4.8.
        """
        generator = self.system.mean_generator(self.cov)
        if not np.linalg.cond(generator) * generator.shape[0] * EPS < 1:
            return None
        return np.asarray(np.linalg.solve(generator, -self.system.drift(self.cov)))

    @functools.cached_property
    def _bend(self) -> float:
        """How fast the matrix that moves the mean changes with the covariance: sum_h |V_h| |B_h|."""
        return float(sum(_size(V) * _size(B) for V, B in zip(self.system.V, self.system.B, strict=True)))

    def __repr__(self) -> str:
        """Rank, dimension and residual; nothing expensive."""
        rank = "" if self.dimension is None else f"rank={self.dimension}, "
        return f"Equilibrium({rank}d={self.system.dim}, residual={self.residual:.1e})"

    def __str__(self) -> str:
        """Rank, stability of covariance and mean, error bound."""
        words = {True: "stable", False: "unstable", None: "stability undetermined"}
        bound = "no error bound" if self.error_bound is None else f"error at most {self.error_bound:.1e}"
        mean = words[self.mean_stable]
        return f"rank {self.rank} of {self.system.dim}: {words[self.stable]}, mean {mean}, {bound} ({self.certificate})"


def zero(system: System) -> Equilibrium:
    """The covariance 0, an equilibrium of every `system`."""
    return Equilibrium(system, np.zeros((system.dim, system.dim)), 0)


def _verdict(values: np.ndarray, room: np.ndarray) -> bool | None:
    if not values.size:
        return None
    if (values.real > room).any():
        return False
    return True if (values.real < -room).all() else None


def _eigenvalues(matrix: np.ndarray, error: float) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvalues of a matrix known up to `error`, and what each may be off by.

    To first order by its condition, or by the bound of any matrix with the n-th root of the error, which is the smaller
    one where eigenvectors fall together.
    """
    if not matrix.any():
        return np.zeros(len(matrix), complex), np.full(len(matrix), error)
    values, left, right = eig(matrix, left=True, right=True)
    overlap = np.abs(np.einsum("ij,ij->j", left.conj(), right))
    size, norm = len(matrix), float(np.linalg.norm(matrix))
    uncertainty = error + 4 * size * EPS * norm
    in_general = 4 * (2 * norm + uncertainty) ** (1 - 1 / size) * uncertainty ** (1 / size)
    return values, np.minimum(uncertainty / np.maximum(overlap, EPS), in_general)


def _rightmost(system: System, cov: np.ndarray) -> np.ndarray:
    """The rightmost eigenvalues of the linearisation by Arnoldi's method on symmetric matrices."""
    dim = system.dim

    def act(flat: np.ndarray) -> np.ndarray:
        direction = flat.reshape(dim, dim)
        return derivative(system, cov, 0.5 * (direction + direction.T)).ravel()

    operator = LinearOperator((dim**2, dim**2), matvec=act, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal((dim, dim))
    begin = (start + start.T).ravel()
    try:
        found = eigs(operator, RIGHTMOST, which="LR", v0=begin, ncv=60, maxiter=8, tol=ROUGH, return_eigenvectors=False)
    except ArpackError:  # without convergence there is no verdict
        return np.zeros(0, complex)
    return np.asarray(found)


def _size(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix, 2))
