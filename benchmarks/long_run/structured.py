"""Systems whose structure is exact in binary: integers and dyadic numbers, moved by integer similarities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import block_diag, solve_continuous_lyapunov

from .cases import Matrices, one_head

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])
BLOCKS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "unstable": lambda rng: np.array([[float(rng.integers(1, 5)) / 4]]),
    "stable": lambda rng: np.array([[-float(rng.integers(1, 5)) / 4]]),
    "zero": lambda rng: np.zeros((1, 1)),
    "turn": lambda rng: float(rng.integers(1, 4)) / 2 * TURN,
    "unstable_turn": lambda rng: 0.5 * np.eye(2) + float(rng.integers(1, 4)) * TURN,
    "stable_turn": lambda rng: -0.5 * np.eye(2) + float(rng.integers(1, 4)) * TURN,
    "nilpotent": lambda rng: np.eye(2, k=1),
    "nilpotent_long": lambda rng: np.eye(3, k=1),
    "jordan_unstable": lambda rng: 0.5 * np.eye(2) + np.eye(2, k=1),
    "jordan_unstable_long": lambda rng: 0.5 * np.eye(3) + np.eye(3, k=1),
    "jordan_unstable_turn": lambda rng: np.kron(np.eye(2), 0.5 * np.eye(2) + TURN) + np.kron(np.eye(2, k=1), np.eye(2)),
    "jordan_stable": lambda rng: -0.5 * np.eye(2) + np.eye(2, k=1),
    "jordan_turn": lambda rng: np.kron(np.eye(2), TURN) + np.kron(np.eye(2, k=1), np.eye(2)),
}
ON_AXIS = ("zero", "turn", "nilpotent", "nilpotent_long", "jordan_turn")
DEFECTIVE = ("nilpotent", "nilpotent_long", "jordan_turn", *(name for name in BLOCKS if "jordan_" in name))


def unimodular(rng: np.random.Generator, d: int) -> tuple[np.ndarray, np.ndarray]:
    """An integer matrix of determinant 1, and its inverse, both exact."""
    T, inverse = np.eye(d), np.eye(d)
    for _ in range(int(rng.integers(0, 3)) if d > 1 else 0):
        i, j = rng.choice(d, 2, replace=False)
        step = np.eye(d)
        step[i, j] = float(rng.choice([-1, 1]))
        T, inverse = T @ step, (2 * np.eye(d) - step) @ inverse
    return T, inverse


def _blocks(rng: np.random.Generator, must: tuple[str, ...], most: int = 6) -> np.ndarray:
    """Blocks side by side, at least one of the kinds in `must`, in a random order."""
    drawn = [BLOCKS[name](rng) for name in must]
    fitting = [block for block in drawn if len(block) <= most]
    found = [fitting[int(rng.integers(len(fitting)))]]
    while (room := most - sum(map(len, found))) > 0 and rng.random() < 0.7:
        block = BLOCKS[str(rng.choice(list(BLOCKS)))](rng)
        if len(block) <= room:
            found.append(block)
    return block_diag(*(found[i] for i in rng.permutation(len(found))))


def _form(rng: np.random.Generator, seen: int, k: int) -> np.ndarray:
    """An exact positive semidefinite integer form (k, k) of at most rank `seen`."""
    H = rng.integers(-2, 3, (seen, k)).astype(float)
    return H.T @ H


def _integer_skew(rng: np.random.Generator, d: int) -> np.ndarray:
    K = rng.integers(-1, 2, (d, d)).astype(float)
    return K - K.T


def unobservable(rng: np.random.Generator) -> Matrices:
    """V = eta I, S = -H^T H, and H does not see a part of A of dimension k, nor what couples to it."""
    hidden = _blocks(rng, tuple(BLOCKS), most=int(rng.integers(1, 5)))
    k = len(hidden)
    seen = _blocks(rng, tuple(BLOCKS), most=int(rng.integers(1, 7 - k))) if k < 6 else np.zeros((0, 0))
    m = len(seen)
    coupling = rng.integers(-1, 2, (k, m)) * float(rng.random() < 0.5)
    A = np.block([[hidden, coupling], [np.zeros((m, k)), seen]])
    S = -block_diag(np.zeros((k, k)), _form(rng, m, m) + float(rng.random() < 0.5) * np.eye(m))
    T, inverse = unimodular(rng, k + m)
    eta = float(rng.choice([-1.0, 1.0]))
    return one_head(T @ A @ inverse, eta, eta * (0.5 * inverse.T @ S @ inverse + _integer_skew(rng, k + m)))


def _turned(rng: np.random.Generator, A: np.ndarray) -> Matrices:
    """A in integer coordinates with V = -I and S < 0 or <= 0, or V < 0 < B."""
    d = len(A)
    T, inverse = unimodular(rng, d)
    A = T @ A @ inverse
    form = _form(rng, int(rng.integers(1, d + 1)), d) + float(rng.random() < 0.7) * np.eye(d)
    if rng.random() < 0.6:
        return one_head(A, -1.0, 0.5 * form + _integer_skew(rng, d))
    return one_head(A, -(_form(rng, d, d) + np.eye(d)) / 4, form)


def defective(rng: np.random.Generator) -> Matrices:
    return _turned(rng, _blocks(rng, DEFECTIVE))


def imaginary_axis(rng: np.random.Generator) -> Matrices:
    return _turned(rng, _blocks(rng, ON_AXIS))


def partial_heads(rng: np.random.Generator) -> Matrices:
    """V and B live on a part of the coordinates only; A couples the two, or not."""
    A = _blocks(rng, tuple(BLOCKS))
    d = len(A)
    k = int(rng.integers(1, d + 1))
    V, B = (block_diag(_form(rng, k, k) + np.eye(k), np.zeros((d - k, d - k))) for _ in range(2))
    T, inverse = unimodular(rng, d)
    sign = float(rng.choice([-1.0, 1.0], p=[0.8, 0.2]))
    return one_head(T @ A @ inverse, sign * T @ V @ T.T / 4, inverse.T @ B @ inverse)


def integers(rng: np.random.Generator) -> Matrices:
    """Small integers everywhere: many coincidences."""
    d = int(rng.integers(1, 4))
    A, V, B = (rng.integers(-2, 3, (d, d)).astype(float) for _ in range(3))
    if rng.random() < 0.4:
        return one_head(A, float(rng.choice([-1, 1])), B)
    if rng.random() < 0.5:
        V, B = -(V @ V.T), B @ B.T
    return one_head(A, V, B)


def one_dimensional(rng: np.random.Generator) -> Matrices:
    a, v, b = (np.array([[float(x)]]) / 2 for x in rng.integers(-3, 4, 3))
    return one_head(a, v, b)


def _listed() -> list[Matrices]:
    """The counterexamples to the published theorems, of docs/theory."""
    C2 = np.array([[2.0, -1.0], [3.0, 3.0]])
    C4 = np.array([[1.0, -1.0], [3.0, -2.0]])

    def signs(A: list[list[float]] | np.ndarray, V: list[float], B: list[list[float]]) -> Matrices:
        return one_head(np.array(A, dtype=float), -np.diag(V), np.array(B))

    def scalar(A: np.ndarray, S: list[float]) -> Matrices:
        return one_head(A, 1.0, np.diag(S) / 2)

    half = np.array([[1.0, 0.5], [0.5, 1.0]])
    return [
        signs([[1, 0], [-2, 1]], [1, 3], [[1.0, 0.0], [0.0, 3.0]]),
        signs([[1, 0], [1, 1]], [1, 3], [[1.0, 0.0], [0.0, 7.0]]),
        signs(C2, [1, 5], [[1.0, -1.0], [-1.0, 4.0]]),
        signs([[1, 1], [-1, 1]], [1, 8], [[1.0, 1.0], [1.0, 2.0]]),
        signs(C2, [1, 5], [[3.0, -2.0], [-2.0, 3.0]]),
        signs(C4, [1, 8], [[1.0, 0.0], [0.0, 1.0]]),
        signs(C4, [1, 10], [[6.0, -6.0], [-6.0, 7.0]]),
        one_head(np.array([[0.0, 1 / 16], [-16.0, 0.0]]), -half, np.array([[256.0, -15.0], [-15.0, 1.0]])),
        scalar(np.eye(2), [-2.0, 0.0]),
        scalar(np.zeros((2, 2)), [-2.0, 0.0]),
        scalar(block_diag(1.0, TURN), [-2.0, 0.0, 0.0]),
        scalar(np.eye(2, k=1), [0.0, -2.0]),
        scalar(np.array([[1.0, -1.0], [1.0, 1.0]]), [-2.0, -2.0]),
    ]


def counterexamples(rng: np.random.Generator) -> Matrices:
    listed = _listed()
    return listed[int(rng.integers(len(listed)))]


def perturbed(rng: np.random.Generator) -> Matrices:
    """A counterexample moved by 1e-1 to 1e-15, relative, in A, V or B."""
    found = list(counterexamples(rng))
    for i in range(3):
        if rng.random() < 0.5:
            found[i] = found[i] * (1 + 10.0 ** -rng.integers(1, 16) * rng.standard_normal(found[i].shape))
    if rng.random() < 0.3:
        found[0] = found[0] + 10.0 ** -rng.integers(1, 16) * rng.standard_normal(found[0].shape)
    return Matrices(*found)


def separatrix(rng: np.random.Generator) -> Matrices:
    d = int(rng.integers(1, 7))
    A = rng.standard_normal((d, d)) / np.sqrt(d)
    A = A - (np.linalg.eigvals(A).real.max() + rng.uniform(0.1, 1.0)) * np.eye(d)
    H = rng.standard_normal((int(rng.integers(1, d + 1)), d))
    return one_head(A, 1.0, H.T @ H / 2)


def beside_the_separatrix(rng: np.random.Generator, matrices: Matrices) -> np.ndarray:
    """A start at a relative distance of 1e-1 to 1e-13 from lambda_max(L^T N L) = 1."""
    A, B = matrices.A, matrices.V[0, 0, 0] * matrices.B[0]
    N = solve_continuous_lyapunov(A.T, -(B + B.T))
    L = rng.standard_normal(A.shape)
    L = L / np.sqrt(np.linalg.eigvalsh(L.T @ N @ L)[-1])
    return np.asarray(L * np.sqrt(1 + float(rng.choice([-1, 1])) * 10.0 ** -rng.uniform(1, 13)))


def invariant_columns(rng: np.random.Generator, A: np.ndarray, rank: int) -> np.ndarray:
    """Columns in or near an invariant subspace of A: images of polynomials of A, exact for integers."""
    d = len(A)
    picked = np.eye(d)[:, rng.permutation(d)[:rank]]
    step = A - float(rng.choice([0.0, 0.5, -0.5, 1.0])) * np.eye(d)
    moved = step @ picked if rng.random() < 0.5 else picked
    if np.linalg.matrix_rank(moved) == 0:
        moved = picked
    keep = np.linalg.svd(moved)[1] > 1e-12
    return np.asarray(moved if keep.all() else moved[:, np.flatnonzero(np.abs(moved).sum(axis=0))[:1]])


FAMILIES: dict[str, Callable[[np.random.Generator], Matrices]] = {
    "unobservable": unobservable, "defective": defective, "imaginary_axis": imaginary_axis,
    "partial_heads": partial_heads, "integers": integers, "one_dimensional": one_dimensional,
    "counterexamples": counterexamples, "perturbed": perturbed, "separatrix": separatrix,
}  # fmt: skip
