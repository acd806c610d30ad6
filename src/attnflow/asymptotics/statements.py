"""The statements that verdicts rest on, with the number in the paper and what had to be corrected there."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Statement:
    """A numbered statement: what it `says`, its number in the `paper`, what was `corrected`, its `page` with proof."""

    name: str
    says: str
    paper: str
    corrected: str
    page: str

    @property
    def brief(self) -> str:
        """The name, with the paper's number and the correction where there are any."""
        parts = [self.paper, f"corrected: {self.corrected}" if self.corrected else ""]
        inside = "; ".join(part for part in parts if part)
        return f"{self.name} ({inside})" if inside else self.name

    def __str__(self) -> str:
        """One line: name, with the paper's number and the correction, and the content."""
        return f"{self.brief}: {self.says}"


_PAGE = "docs/theory/long-run.md"
_DEFINITE = "docs/theory/definite.md"

THEOREM_A = Statement(
    "Theorem A",
    "V = eta I, S = eta (B + B^T) <= 0: the limit from every positive definite start is the stabilising solution, "
    "supported on the unstable subspace of A, exactly when no eigenvalue of A with Re >= 0 is unobservable",
    "Theorem 4.1, Table 1 row 1",
    "the paper asks no observability; without it the limit may depend on the start, rotate or grow",
    _PAGE,
)
THEOREM_A_BOUNDED = Statement(
    "Theorem A, items 1 to 3",
    "V = eta I, S <= 0 with unobservable eigenvalues: bounded, convergent or growing by their place and their chains",
    "Theorem 4.1, Remark 4.2",
    "the paper's limit does not hold there",
    _PAGE,
)
THEOREM_A_SINGULAR = Statement(
    "Theorem A, item 5",
    "V = eta I, S <= 0, no unobservable eigenvalue with Re >= 0, singular start: the limit is carried by what "
    "the start has in the unstable subspace of A",
    "Theorem 4.1 (which asks a positive definite start)",
    "",
    _PAGE,
)
THEOREM_B = Statement(
    "Theorem B",
    "V = eta I: closed form; blow-up exactly when lambda_max(L0^T N(t) L0) reaches 1, and for S >= 0 and Hurwitz A the "
    "exact basin of zero",
    "Section 4.1",
    "",
    "docs/theory/closed-form.md",
)
THEOREM_C = Statement(
    "Theorem C",
    "once the covariance converges to Sigma_inf the mean follows A + V + V Sigma_inf B: a limit when it is Hurwitz, "
    "divergence outside an affine set when it has an eigenvalue with Re > 0",
    "Theorem 4.8, Remark 4.10",
    "the paper's part 2 has a wrong sign, part 1 needs a positive definite start and Sigma_inf the limit itself",
    _PAGE,
)
THEOREM_D = Statement(
    "Theorem D",
    "V < 0, B > 0 symmetric: bounded; zero is the limit when A + A^T <= 0, or when B A + A^T B <= 0 and B V + V B < 0; "
    "a positive definite equilibrium exists when B A + A^T B > 0",
    "Theorem 4.5, Table 1 row 2",
    "Re spec A > 0 does not give a positive definite equilibrium (C1 to C3), Re spec A <= 0 does not give 0 (C4, C5)",
    _DEFINITE,
)
THEOREM_E = Statement(
    "Theorem E",
    "V > 0, B > 0 symmetric: blow-up before explicit bounds, and none when a lower bound is infinite",
    "Theorem 4.6, eq. (4.9)",
    "",
    _DEFINITE,
)
SMALL_START = Statement(
    "Small starts",
    "a Hurwitz A contracts every start below an explicit size to zero, whatever V and B",
    "Theorem 4.5, item 3",
    "explicit and for all V and B",
    _DEFINITE,
)
GLOBAL_EXISTENCE = Statement(
    "Global existence",
    "no blow-up when V and B have opposite signs (one symmetric and semidefinite, the other with a semidefinite "
    "symmetric part), for L2 attention with injective K or Q = +-K, for Sinkhorn attention, and for sigmoid attention "
    "that is not beside a head that moves the mean faster than exponentially",
    "Theorem 4.5 (first claim); Castin et al.",
    "",
    _DEFINITE,
)
EVIDENCE = Statement(
    "Numerical evidence",
    "integration to rest, to a cycle or to blow-up, with a certificate of local stability where there is one",
    "",
    "",
    _PAGE,
)
AT_REST = Statement(
    "Start at rest",
    "F(cov(0)) = 0 exactly: the covariance never moves",
    "eq. (4.7)",
    "",
    _PAGE,
)
HOMOGENEOUS = Statement(
    "Homogeneous mean",
    "mean(0) = 0 and no bias: the mean stays 0",
    "Remark 4.9",
    "",
    _PAGE,
)

STATEMENTS = (
    THEOREM_A, THEOREM_A_BOUNDED, THEOREM_A_SINGULAR, THEOREM_B, THEOREM_C, THEOREM_D, THEOREM_E, SMALL_START,
    GLOBAL_EXISTENCE, EVIDENCE, AT_REST, HOMOGENEOUS,
)  # fmt: skip
