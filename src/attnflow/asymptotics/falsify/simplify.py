"""Making a counterexample small: entries to 0, to 1, to whole numbers, as long as it stays one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from .example import MATRICES, NAMES, Example
from .proofs import Proof

Prove = Callable[[Example], Proof | None]


def simplified(proof: Proof, prove: Prove, deadline: float) -> Proof:
    """The lightest counterexample that is reached from that of `proof` by steps each of which `prove` confirms.

    Greedy: the step that takes away most first. Stops at `deadline` on the clock of `time.monotonic`.
    """
    best, refused = proof, set[tuple[object, ...]]()
    moved = True
    while moved and time.monotonic() < deadline:
        moved = False
        for example in _lighter(best.example):
            key = tuple(x for name in NAMES for x in getattr(example, name).flat)
            if key in refused:
                continue
            if time.monotonic() > deadline:
                break
            refused.add(key)
            found = prove(example)
            if found is not None and _total(found) < _total(best):
                best, moved = found, True
                break
    return best


def _total(proof: Proof) -> float:
    return proof.burden + proof.example.weight


def _lighter(example: Example) -> list[Example]:
    """Examples one step away that weigh less, the lightest first."""
    found = [other for other in _steps(example) if other.weight < example.weight - 1e-12]
    return sorted(found, key=lambda other: other.weight)


def _steps(example: Example) -> Iterator[Example]:
    dim = example.dim
    zero, identity = np.zeros(dim), np.eye(dim)
    yield example.replace(b=zero, mean=zero)
    yield example.replace(b=zero)
    yield example.replace(mean=identity[0])
    yield example.replace(mean=zero)
    for cov in (identity, np.diag(np.diag(example.cov))):
        yield example.replace(cov=cov)
    for name in ("V", "B", "A"):
        # scales of time and of the covariance, which keep a whole system together
        for factor in (Fraction(1, 2), Fraction(1, 3), Fraction(2)):
            yield example.replace(**{name: getattr(example, name) * factor})
    for factor in (Fraction(1, 2), Fraction(1, 3), Fraction(2)):
        yield example.replace(A=example.A * factor, V=example.V * factor)
        yield example.replace(A=example.A * factor, B=example.B * factor)
    for name in MATRICES:
        yield from _entry_steps(example, name)
    for name in ("b", "mean"):
        vector = getattr(example, name)
        for i, x in enumerate(vector):
            for value in _smaller(x):
                changed = vector.copy()
                changed[i] = value
                yield example.replace(**{name: changed})


def _entry_steps(example: Example, name: str) -> Iterator[Example]:
    """One entry with its mirror image (or its equals on the diagonal), or the entry alone, made smaller."""
    matrix, dim = getattr(example, name), example.dim
    for i in range(dim):
        for j in range(dim):
            groups = [[(i, j)]]
            if i != j and abs(matrix[i, j]) == abs(matrix[j, i]):
                groups.append([(i, j), (j, i)])
            if i == j == 0 and all(matrix[n, n] == matrix[0, 0] for n in range(dim)):
                groups.append([(n, n) for n in range(dim)])
            for value in _smaller(matrix[i, j]):
                for group in groups:
                    changed = matrix.copy()
                    for place in group:
                        changed[place] = value if matrix[place] == matrix[i, j] else -value
                    if np.any(changed) or not np.any(matrix) or name == "A":
                        yield example.replace(**{name: changed})


def _smaller(x: Fraction) -> list[Fraction]:
    """Numbers simpler than `x`, of its sign or 0."""
    if x == 0:
        return []
    sign = Fraction(1 if x > 0 else -1)
    size = abs(x)
    nearby = {Fraction(0), Fraction(1), Fraction(int(size)), Fraction(round(size)), Fraction(int(size) + 1)}
    nearby |= {Fraction(int(size / 2)), Fraction(int(2 * size / 3)), size - 1, Fraction(int(size * 2), 2)}
    return sorted({sign * y for y in nearby if y >= 0 and y != size}, key=abs)
