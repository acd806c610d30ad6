"""What the experiments should give: limits, blow-up and conserved quantities in closed form.

Every formula holds for the flow without feed-forward, cov' = G cov + cov G^T. Matrices (m, d, d) are stacks of starts.

Source: this package, docs/reproduce.md, castin2025.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from jaxtyping import Float

Stack = Float[np.ndarray, "m d d"]
Matrix = Float[np.ndarray, "d d"]


def kernel_limit(starts: Stack, kernel: Float[np.ndarray, "d j"]) -> Stack:
    """N (N^T cov0^{-1} N)^{-1} N^T with N = `kernel`, orthonormal columns that span the kernel of Q; zero without one.

    It is the limit for softmax and L2 attention with K = -Q and V = I: the inverse covariance grows by K^T W(t) K with
    W increasing without bound, so its inverse is cut down to the kernel.
    """
    return np.asarray(kernel @ np.linalg.inv(conserved(starts, kernel)) @ kernel.T)


def conserved(covs: Float[np.ndarray, "*m d d"], kernel: Float[np.ndarray, "d j"]) -> Float[np.ndarray, "*m j j"]:
    """N^T cov^{-1} N for N = `kernel` (orthonormal columns), conserved whenever the linear part G vanishes on N.

    Computed as the inverse of a Schur complement, which keeps its accuracy while cov loses rank across N.
    """
    rest = scipy.linalg.null_space(kernel.T)
    inner, mixed = kernel.T @ covs @ kernel, kernel.T @ covs @ rest
    outer = rest.T @ covs @ rest
    complement = inner - mixed @ np.linalg.solve(outer, np.swapaxes(mixed, -1, -2))
    return np.asarray(np.linalg.inv(complement))


def plane_limit(starts: Float[np.ndarray, "m 2 2"], q: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "m 2 2"]:
    """The limit under one head with B = -q q^T and V = e1 e1^T: cov' = -(p e1) (cov q)^T - (cov q) (p e1)^T.

    Here p = e1^T cov q tends to 0, s22 is conserved, and so is (q^T cov q) / z^2 with z = e2^T cov q, whose sign
    stays. At the limit q^T cov q = q2 z, hence z = q2 z0^2 / (q^T cov0 q) if q2 z0 > 0, else z = 0. The three
    conditions p, z and s22 fix the limit.
    """
    z0, size = (starts @ q)[:, 1], np.einsum("i,mij,j->m", q, starts, q)
    z = np.where(q[1] * z0 > 0.0, q[1] * z0**2 / size, 0.0)
    s22 = starts[:, 1, 1]
    s12 = (z - q[1] * s22) / q[0]
    s11 = -s12 * q[1] / q[0]
    return np.stack([np.stack([s11, s12], axis=1), np.stack([s12, s22], axis=1)], axis=1)


def blow_up(starts: Stack, form: Matrix) -> tuple[Float[np.ndarray, " m"], Stack]:
    """Blow-up times, and the limits of cov / trace there, of one softmax head with V = I.

    B = `form` has positive definite symmetric part S / 2, and cov = (cov0^{-1} - t S)^{-1}. With cov0 = L L^T the
    time is 1 / lambda for the largest eigenvalue lambda of L^T S L; the limit has rank one, along L times its
    eigenvector.
    """
    roots = np.linalg.cholesky(starts)
    values, vectors = np.linalg.eigh(np.swapaxes(roots, 1, 2) @ (form + form.T) @ roots)
    direction = (roots @ vectors[:, :, -1:])[:, :, 0]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return 1.0 / values[:, -1], direction[:, :, None] * direction[:, None, :]


def isotropic_directions(form: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "2 2"]:
    """The two unit vectors u (rows, first entry positive) with u^T B u = 0 for an indefinite symmetric part of `form`.

    The rank-one equilibria of softmax and L2 attention (without feed-forward) lie along them.
    """
    values, vectors = np.linalg.eigh(form + form.T)
    weights = np.sqrt([values[1], -values[0]])
    rows = np.stack([vectors @ weights, vectors @ (weights * [1.0, -1.0])])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows * np.sign(rows[:, :1]))


def quadratic(cov: Matrix, heads: list[tuple[Matrix, Matrix]]) -> Matrix:
    """sum of V cov B cov + (V cov B cov)^T over `heads` (V, B): the rate of a small covariance.

    A flow that vanishes does so like C / t with C = -quadratic(C): the same C for every start of full rank, as the
    experiments show.
    """
    half = sum((V @ cov @ B @ cov for V, B in heads), np.zeros_like(cov))
    return np.asarray(half + half.T)
