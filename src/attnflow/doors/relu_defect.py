"""`relu_defect`: how fast a nonlinear feed-forward leaves the Gaussian flow, and until when that is proved."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from .._check import BadInput, positive
from .._linalg import dense
from ..asymptotics.regime import Held, Hypothesis
from ..asymptotics.statements import Statement
from ..diagnostics.departure import departure_constant
from ..diagnostics.field import Field, growth_of, head_of, norm, spectral_norm
from ..diagnostics.projected_slope import ProjectedSlope, projected_slope
from ..diagnostics.statements import AFFINE, NOT_COVERED, PROP_2_3, REMARK_2_3
from ..diagnostics.subgaussian_time import SubGaussian, subgaussian_time
from ..flow.outcome import Basis
from ..measures.gaussian import Gaussian
from ..moments.relu import ReLU
from ..transformer.layer import AbstractLayer
from .long_run.constant_model import dimension_of
from .nonlinear_model import Parts, parts_of

SCHEMA = 1
SHARP_UP_TO = 256
"""The dimension up to which the sharp slope is computed without being asked for."""


@dataclasses.dataclass(frozen=True, eq=False)
class Defect:
    """What Proposition 2.3 says of a model and a start; `float(defect)` is the `bound`.

    `bound`: the norm of s(A x + b) - (A x + b) in L2 of the start: W_2 to the Gaussian flow is at most t * bound +
    O(t^2). `slope`: the limit of W_2 / t as t -> 0, at most the bound, within `slope_error` (both None when not
    computed). `time`: a time up to which the hypotheses of the proof hold (that of Lemma 2.2, infinite without
    attention scores; None where a hypothesis fails), with the `kappa` of the lemma. `hypotheses` with their margins,
    the `statement` with what had to be corrected, and what it rests on, `basis`.

    Source: :cite:alcalde2026, Prop. 2.3; this package, docs/theory/departure.md.
    """

    bound: float
    slope: float | None
    slope_error: float | None
    time: float | None
    kappa: float | None
    hypotheses: tuple[Hypothesis, ...]
    statement: Statement
    basis: Basis

    def __float__(self) -> float:
        """The bound."""
        return self.bound

    @property
    def margins(self) -> dict[str, float]:
        """By hypothesis, its margin: positive where it holds with room."""
        return {hypothesis.name: hypothesis.margin for hypothesis in self.hypotheses}

    def to_dict(self) -> dict[str, Any]:
        """Numbers, hypotheses and statement as JSON-able data with a `schema_version`; an infinite time is "inf"."""
        listed = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        listed["hypotheses"] = [dataclasses.asdict(hypothesis) for hypothesis in self.hypotheses]
        listed["statement"] = str(self.statement)
        listed["basis"] = self.basis.value
        if self.time == math.inf:
            listed["time"] = "inf"
        return {"schema_version": SCHEMA, **listed}

    def __str__(self) -> str:
        """The numbers, how long they are proved, the hypotheses, the statement."""
        sharp = "" if self.slope is None else f" (the sharp slope is {self.slope:.6g})"
        until = "no time is proved" if self.time is None else f"for t <= {self.time:.6g}"
        lines = [f"W_2 to the Gaussian flow: at most {self.bound:.6g} t + O(t^2), {until}{sharp}"]
        lines += [f"  {hypothesis}" for hypothesis in self.hypotheses]
        return "\n".join([*lines, f"{self.basis}: {self.statement}"])


def relu_defect(model: AbstractLayer, start: Gaussian, *, sharp: bool | None = None, levels: int = 128) -> Defect:
    """The constant of Proposition 2.3 for `model` at `start`: how fast its tokens leave the Gaussian flow.

    `model` has one feed-forward `FeedForward(A=, b=, activation=)` and any heads; the Gaussian flow is that of the same
    model with the identity. For ReLU the constant is closed; for another activation it is a quadrature and the paper's
    remark behind the proposition is the basis. `sharp` asks for the slope of W_2 at t = 0 itself: computed up to d =
    256 when left out; `levels` is the number of Hermite degrees that it takes for an activation other than ReLU.

    Raises BadInput when an argument breaks a rule, or the feed-forward is not of that form.

    Source: :cite:alcalde2026, Prop. 2.3; this package, docs/theory/departure.md.
    """
    if not isinstance(start, Gaussian):
        raise BadInput(
            f"`start` must be a Gaussian: {type(start).__name__} was found; tokens have one by "
            "Gaussian.from_tokens(points)."
        )
    dim = dimension_of(model, start, None)
    count = positive("levels", levels)
    with jax.enable_x64(True):
        parts = parts_of(model)
        if parts.activation is None:
            return Defect(0.0, 0.0, 0.0, math.inf, None, (), AFFINE, Basis.THEOREM)
        bound = float(departure_constant(parts.activation, parts.A, parts.b, _on_the_host(start)))
        slope = None
        if sharp or (sharp is None and dim <= SHARP_UP_TO):
            slope = projected_slope(parts.activation, parts.A, parts.b, start, levels=int(count))
        return _judged(parts, start, bound, slope)


def _on_the_host(start: Gaussian) -> Gaussian:
    return Gaussian(np.asarray(start.mean, dtype=np.float64), np.asarray(start.factor, dtype=np.float64))


def _judged(parts: Parts, start: Gaussian, bound: float, slope: ProjectedSlope | None) -> Defect:
    sizes = [head_of(head, start.dim) for head in parts.heads]
    heads = tuple(size for size in sizes if size is not None)
    growth = None if parts.activation is None else growth_of(parts.activation)
    hypotheses = (
        _yes_or_no("every attention is softmax", len(heads) == len(sizes)),
        _yes_or_no("|s(z)| <= growth |z| with a known growth", growth is not None),
    )
    found = SubGaussian(None, None, ())
    if all(hypothesis.held is Held.HOLDS for hypothesis in hypotheses) and growth is not None:
        field = Field(spectral_norm(dense(parts.A, start.dim)), norm(parts.b), heads, max(1.0, growth))
        found = subgaussian_time(field, start)
    proved = found.time is not None
    return Defect(
        bound=bound,
        slope=None if slope is None else slope.value,
        slope_error=None if slope is None else slope.error,
        time=found.time,
        kappa=found.kappa,
        hypotheses=(*hypotheses, *found.hypotheses),
        statement=NOT_COVERED if not proved else PROP_2_3 if isinstance(parts.activation, ReLU) else REMARK_2_3,
        basis=Basis.THEOREM if proved else Basis.UNDETERMINED,
    )


def _yes_or_no(name: str, holds: bool) -> Hypothesis:
    return Hypothesis(name, Held.HOLDS if holds else Held.FAILS, 0.0, exact=True)
