"""What a claim may conclude about every start."""

from __future__ import annotations

import enum

from ..._check import BadInput


class Conclusion(enum.StrEnum):
    """What is claimed of every system that meets the hypotheses, from every start that they allow.

    Source: this package, docs/falsify.md.
    """

    POSITIVE_DEFINITE_LIMIT = "positive definite limit"
    POSITIVE_DEFINITE_EQUILIBRIUM = "positive definite equilibrium"
    UNIQUE_EQUILIBRIUM = "unique positive definite equilibrium"
    ZERO_LIMIT = "zero limit"
    BOUNDED = "bounded"
    CONVERGENT = "convergent"
    BLOW_UP = "blow-up"
    NO_BLOW_UP = "no blow-up"
    THEOREM_41 = "limit of Theorem 4.1"
    STABLE_EQUILIBRIUM = "stable equilibrium"
    MEAN_LIMIT = "mean limit"
    MEAN_DIVERGES = "mean diverges"
    MEAN_ZERO_OR_DIVERGES = "mean zero or diverges"
    MEAN_STABLE = "mean stable"

    @property
    def about_mean(self) -> bool:
        """Whether it speaks of the mean."""
        return self.value.startswith("mean")


MEANING = {
    Conclusion.POSITIVE_DEFINITE_LIMIT: "the covariance converges to a positive definite matrix",
    Conclusion.POSITIVE_DEFINITE_EQUILIBRIUM: "a positive definite equilibrium exists",
    Conclusion.UNIQUE_EQUILIBRIUM: "exactly one positive definite equilibrium exists",
    Conclusion.ZERO_LIMIT: "the covariance converges to 0",
    Conclusion.BOUNDED: "the covariance exists for all times and stays bounded",
    Conclusion.CONVERGENT: "the covariance converges",
    Conclusion.BLOW_UP: "the covariance becomes infinite in finite time",
    Conclusion.NO_BLOW_UP: "the covariance exists for all times",
    Conclusion.THEOREM_41: "the covariance converges to the positive definite solution on the unstable subspace of A, "
    "and to 0 beside it",
    Conclusion.STABLE_EQUILIBRIUM: "every positive definite equilibrium is stable",
    Conclusion.MEAN_LIMIT: "the mean converges",
    Conclusion.MEAN_DIVERGES: "the norm of the mean tends to infinity",
    Conclusion.MEAN_ZERO_OR_DIVERGES: "the mean converges to 0 or its norm tends to infinity",
    Conclusion.MEAN_STABLE: "at every positive definite equilibrium the mean is attracted by a limit",
}


def conclusion_of(text: str) -> Conclusion:
    """The conclusion that `text` names; case, hyphens and spaces do not matter.

    Raises BadInput, with the list, for any other text.
    """
    wanted = _plain(text)
    for conclusion in Conclusion:
        if _plain(conclusion.value) == wanted:
            return conclusion
    known = ", ".join(f'"{conclusion.value}"' for conclusion in Conclusion)
    raise BadInput(f"`conclusion` must be one of {known}: {text!r} was found; see docs/falsify.md.")


def _plain(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())
