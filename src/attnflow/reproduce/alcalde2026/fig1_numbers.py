"""The problem of Figure 1 and its reference numbers.

The references were computed with 200 digits from the float64 numbers below: the covariance at T = 100 by Van Loan's
matrix exponential, its limit by a linear solve (for A_mixed: from the eigenvector, in radicals). They are given to 20
digits.

Source: :cite:alcalde2026, Section 5.1; :cite:vanloan1978, Thm. 1.
"""

from __future__ import annotations

from typing import Final

T: Final = 100.0
MEAN: Final = (-1.0, -1.0)
COV: Final = ((0.4, 0.2), (0.2, 0.2))
TARGET: Final = (1.0, 2.0)
ETA: Final = -1.0

B: Final = {
    "figure": ((1.0, 0.25), (0.25, 0.75)),
    "variant": ((1.0, 0.3), (0.3, 0.8)),
}
"""The matrix of the figure, and a second one that shows what depends on it."""

A: Final = {
    "A_plus": ((0.5, -0.375), (0.375, 0.5)),
    "A_minus": ((-0.5, 1.0), (0.0, -0.25)),
    "A_mixed": ((0.5, 0.25), (0.25, -0.5)),
}

TITLES: Final = {
    "A_plus": "both eigenvalues of A unstable",
    "A_minus": "both eigenvalues of A stable",
    "A_mixed": "one stable, one unstable",
}

RANKS: Final = {"A_plus": 2, "A_minus": 0, "A_mixed": 1}
"""Rank of the limit of the covariance: the number of eigenvalues of A with positive real part (Theorem 4.1)."""

BIAS: Final = {
    ("figure", "A_plus"): (1.9399563318777292576, 1.4153930131004366812),
    ("figure", "A_minus"): (-0.5, 2.5),
    ("figure", "A_mixed"): (0.92208854692682513026, 2.9676755783487355305),
    ("variant", "A_plus"): (1.9953083109919570864, 1.4118632707774799254),
    ("variant", "A_minus"): (-0.5, 2.5),
    ("variant", "A_mixed"): (0.96538539787414546386, 2.9778965783839792952),
}

LIMIT: Final = {
    ("figure", "A_plus"): (
        (0.63930131004366812227, -0.15371179039301310044),
        (-0.15371179039301310044, 0.58340611353711790393),
    ),
    ("figure", "A_minus"): ((0.0, 0.0), (0.0, 0.0)),
    ("figure", "A_mixed"): (
        (0.48198181394102323931, 0.11378047200873729788),
        (0.11378047200873729788, 0.026859925906074047797),
    ),
    ("variant", "A_plus"): (
        (0.65683646112600534132, -0.16085790884718496454),
        (-0.16085790884718496454, 0.54959785522788201178),
    ),
    ("variant", "A_minus"): ((0.0, 0.0), (0.0, 0.0)),
    ("variant", "A_mixed"): (
        (0.47125782635688368325, 0.11124888194901661709),
        (0.11124888194901661709, 0.026262298560817214872),
    ),
}

AT_END: Final = {
    **LIMIT,  # reached within 1e-42, where A has an unstable eigenvalue
    ("figure", "A_minus"): (
        (1.1898285475500870265e-22, 2.9745713689140692775e-23),
        (2.9745713689140692775e-23, 7.4364284223823024716e-24),
    ),
    ("variant", "A_minus"): (
        (1.1544736744356339805e-22, 2.8861841861269730847e-23),
        (2.8861841861269730847e-23, 7.2154604654121530457e-24),
    ),
}
"""The covariance at T."""
