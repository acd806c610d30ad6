"""What a search for a counterexample found: text, JSON, LaTeX, and a script that proves it."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from ..._check import BadInput
from ...asymptotics.falsify.conclusions import MEANING
from ...asymptotics.falsify.example import MATRICES, NAMES, Example
from ...asymptotics.falsify.language import Claim
from ...flow.outcome import Basis
from ...measures.gaussian import Gaussian
from ...transformer.block import Transformer
from ...transformer.feedforward import Affine
from ...transformer.softmax import SoftmaxAttention

JSON_SCHEMA = 1
_SYMBOLS = {"cov": "\\Sigma_0", "mean": "\\mu_0"}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Counterexample:
    """A system that meets the hypotheses of a claim and contradicts its conclusion, and the `reason` why.

    `exact` holds A, V, B, cov (d, d) and b, mean (d,) by name, as arrays of Fractions. `basis` is "theorem" when the
    contradiction is proved in exact arithmetic, and "numerical" when the hypotheses are, but the last step rests on
    two integrations.

    Source: :cite:alcalde2026, eq. (2.6).
    """

    exact: dict[str, np.ndarray]
    reason: str
    basis: Basis

    @property
    def A(self) -> np.ndarray:
        """The feed-forward matrix (d, d) in float64."""
        return self._floats("A")

    @property
    def V(self) -> np.ndarray:
        """The value matrix (d, d) in float64."""
        return self._floats("V")

    @property
    def B(self) -> np.ndarray:
        """The score matrix (d, d) in float64."""
        return self._floats("B")

    @property
    def b(self) -> np.ndarray:
        """The feed-forward bias (d,) in float64."""
        return self._floats("b")

    @property
    def cov(self) -> np.ndarray:
        """The covariance of the start (d, d) in float64."""
        return self._floats("cov")

    @property
    def mean(self) -> np.ndarray:
        """The mean of the start (d,) in float64."""
        return self._floats("mean")

    @property
    def model(self) -> Transformer:
        """The system as a model for `attnflow.simulate`."""
        return Transformer(SoftmaxAttention(B=self.B, V=self.V), Affine(A=self.A, b=self.b))

    @property
    def start(self) -> Gaussian:
        """The start as a Gaussian."""
        return Gaussian.from_moments(self.mean, self.cov)

    def to_dict(self) -> dict[str, Any]:
        """Floats by name, the exact numbers as texts, the reason and the basis."""
        exact = {name: _texts(self.exact[name]) for name in NAMES}
        floats = {name: getattr(self, name).tolist() for name in NAMES}
        return {**floats, "exact": exact, "reason": self.reason, "basis": self.basis.value}

    def to_latex(self) -> str:
        """The matrices and vectors as one displayed formula."""
        parts = [f"{_SYMBOLS.get(name, name)} = {_latex_matrix(self.exact[name])}" for name in NAMES]
        return "\\[\n" + ",\\quad\n".join(parts) + "\n\\]"

    def __str__(self) -> str:
        """The numbers, a line for each name, and the reason."""
        lines = [f"{name} = {_plain(self.exact[name])}" for name in NAMES]
        return "\n".join([*lines, self.reason])

    def __repr__(self) -> str:
        """One line: the matrices."""
        return f"Counterexample({', '.join(f'{name} = {_plain(self.exact[name])}' for name in MATRICES)})"

    def _floats(self, name: str) -> np.ndarray:
        return self.exact[name].astype(np.float64)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NearMiss:
    """The sample that came closest to contradicting the claim, by name as `exact` arrays of Fractions.

    `margin` is small where it is close, measured as `words` say.
    """

    exact: dict[str, np.ndarray]
    margin: float
    words: str

    def to_dict(self) -> dict[str, Any]:
        """The exact numbers as texts, the margin and what it measures."""
        return {"exact": {n: _texts(self.exact[n]) for n in NAMES}, "margin": self.margin, "words": self.words}

    def __str__(self) -> str:
        """One line: the margin and the matrices."""
        shown = ", ".join(f"{name} = {_plain(self.exact[name])}" for name in MATRICES)
        return f"{self.words}: {self.margin:.3g} at {shown}"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Falsification:
    """What became of a `claim`, looked at in dimension `dim` for `seconds` with the seed `seed`.

    `counterexample` is None if none was found among the `tried` systems that met the hypotheses, out of `drawn`.
    `verified`: the script of the counterexample ran and all its assertions held, or, for a numerical one, two
    integrators of SciPy agreed on the contradiction. `tightest` is the sample that came closest, where that could be
    measured; `interrupted` says that the search was ended early by the user.

    Source: this package, docs/falsify.md.
    """

    claim: Claim
    dim: int
    seed: int
    counterexample: Counterexample | None
    verified: bool
    tried: int
    drawn: int
    tightest: NearMiss | None
    seconds: float
    interrupted: bool
    script: str

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        found, near = self.counterexample, self.tightest
        return {
            "schema_version": JSON_SCHEMA,
            "claim": str(self.claim),
            "hypotheses": [str(condition) for condition in self.claim.conditions],
            "conclusion": self.claim.conclusion.value,
            "dim": self.dim,
            "seed": self.seed,
            "counterexample": None if found is None else found.to_dict(),
            "verified": self.verified,
            "tried": self.tried,
            "drawn": self.drawn,
            "tightest": None if near is None else near.to_dict(),
            "seconds": self.seconds,
            "interrupted": self.interrupted,
        }

    def to_latex(self) -> str:
        """The claim and what became of it as LaTeX; needs amsmath."""
        claim = ", ".join(f"${condition.to_latex()}$" for condition in self.claim.conditions)
        opening = f"Claim: if {claim}, then {MEANING[self.claim.conclusion]} (dimension ${self.dim}$)."
        if self.counterexample is None:
            return f"{opening} No counterexample among {self.tried} systems.\n"
        reason = self._latex_reason
        return f"{opening} Counterexample:\n{self.counterexample.to_latex()}\n{reason}\n"

    def to_script(self) -> str:
        """A Python script that proves the counterexample with SymPy alone (the last step of a numerical one: mpmath).

        Raises BadInput when there is no counterexample.
        """
        if self.counterexample is None:
            raise BadInput("`to_script` must have a counterexample: none was found; try a larger budget or dimension.")
        return self.script

    @functools.cached_property
    def _latex_reason(self) -> str:
        assert self.counterexample is not None
        special = {"^": "\\^{}", "_": "\\_", "<": "$<$", ">": "$>$", "|": "$|$"}
        text = "".join(special.get(character, character) for character in self.counterexample.reason)
        return f"{text[0].upper()}{text[1:]}."

    def __str__(self) -> str:
        """The verdict in words, with the counterexample or the tightest case."""
        heading = f"{self.claim}  (d = {self.dim})"
        count = f"{self.tried} systems that meet the hypotheses, of {self.drawn} drawn, in {self.seconds:.1f} s"
        if self.interrupted:
            count += ", interrupted"
        if self.counterexample is not None:
            how = "proved in exact arithmetic" if self.counterexample.basis is Basis.THEOREM else "by integration"
            checked = "verified" if self.verified else "NOT verified"
            return f"{heading}\nrefuted, {how}, {checked} ({count})\n{self.counterexample}"
        if not self.tried:
            return f"{heading}\nno system met the hypotheses in {self.drawn} draws: they may exclude each other"
        near = "" if self.tightest is None else f"\ntightest: {self.tightest}"
        return f"{heading}\nnot refuted: no counterexample among {count}{near}"

    def __repr__(self) -> str:
        """The first two lines of the text."""
        return f"Falsification({'; '.join(str(self).splitlines()[:2])})"


def exact_arrays(example: Example) -> dict[str, np.ndarray]:
    """The arrays of `example` by name."""
    return {name: getattr(example, name) for name in NAMES}


def _plain(array: np.ndarray) -> str:
    if array.ndim == 1:
        return "(" + ", ".join(map(str, array)) + ")"
    return "[" + ", ".join("[" + ", ".join(map(str, row)) + "]" for row in array) + "]"


def _texts(array: np.ndarray) -> Any:
    return [_texts(row) for row in array] if array.ndim > 1 else [str(x) for x in array]


def _latex_matrix(array: np.ndarray) -> str:
    rows = array if array.ndim == 2 else array[:, None]
    body = " \\\\ ".join(" & ".join(_latex_number(x) for x in row) for row in rows)
    return f"\\begin{{pmatrix}} {body} \\end{{pmatrix}}"


def _latex_number(x: Any) -> str:
    if x.denominator == 1:
        return str(x.numerator)
    sign = "-" if x < 0 else ""
    return f"{sign}\\tfrac{{{abs(x.numerator)}}}{{{x.denominator}}}"
