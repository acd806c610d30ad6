"""Which proofs can contradict which conclusion, and the search for one."""

from __future__ import annotations

from .conclusions import Conclusion
from .conditions import Condition
from .example import Example
from .proofs import Case, Proof, Prover
from .provers import (
    all_unstable,
    any_attractor,
    mean_attracted,
    mean_driven_away,
    mean_unstable_point,
    no_equilibrium,
    nonzero_attractor,
    nothing_attracts,
    resting_anywhere,
    resting_nonzero,
    resting_singular,
    several,
    singular_attractor,
    unstable_point,
    zero_unstable,
)
from .solutions import decoupled, isotropic, mean_at_zero, mean_eigenvector, unseen_direction

PROVERS: dict[Conclusion, tuple[Prover, ...]] = {
    Conclusion.POSITIVE_DEFINITE_LIMIT: (
        isotropic, unseen_direction, no_equilibrium, all_unstable, singular_attractor,
    ),
    Conclusion.POSITIVE_DEFINITE_EQUILIBRIUM: (no_equilibrium,),
    Conclusion.UNIQUE_EQUILIBRIUM: (several, no_equilibrium),
    Conclusion.ZERO_LIMIT: (isotropic, resting_nonzero, nonzero_attractor, unseen_direction, zero_unstable),
    Conclusion.BOUNDED: (isotropic, unseen_direction),
    Conclusion.CONVERGENT: (isotropic, unseen_direction, nothing_attracts),
    Conclusion.BLOW_UP: (isotropic, resting_anywhere, any_attractor),
    Conclusion.NO_BLOW_UP: (isotropic,),
    Conclusion.THEOREM_41: (unseen_direction, resting_singular),
    Conclusion.STABLE_EQUILIBRIUM: (unstable_point,),
    Conclusion.MEAN_LIMIT: (mean_eigenvector, mean_driven_away),
    Conclusion.MEAN_DIVERGES: (mean_eigenvector, mean_attracted, decoupled, mean_at_zero),
    Conclusion.MEAN_ZERO_OR_DIVERGES: (mean_eigenvector,),
    Conclusion.MEAN_STABLE: (mean_unstable_point,),
}  # fmt: skip


def prove(case: Case, conditions: tuple[Condition, ...]) -> Proof | None:
    """A proof that the system of `case` meets all `conditions` and contradicts the conclusion, or None.

    The start may be another one than that of `case`. Conditions are decided in rational arithmetic, the contradiction
    by the proof.
    """
    for prover in PROVERS[case.conclusion]:
        proof = prover(case)
        if proof is not None and meets_exactly(proof.example, conditions, singular=case.singular):
            return proof
    return None


def meets_exactly(example: Example, conditions: tuple[Condition, ...], *, singular: bool) -> bool:
    """Whether `example` meets all `conditions` in rational arithmetic, its start included."""
    from .exact import definite

    values = example.symbols()
    return definite(values["cov"], 1, not singular) and all(c.holds_exactly(values) for c in conditions)
