"""Gates: conditions on the numbers of a diagnosis that make it fail, as text, and which of them hold."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import math
import operator
import re
import textwrap
from collections.abc import Collection, Mapping
from typing import Any

from ..._check import BadInput
from .fields import FIELDS, PAGE

GRAMMAR = (
    'write FIELD < NUMBER (or <=, >, >=), several joined by `or`, for example "overlap10 < 0.95 or drift_max > 0.1"'
)
SHOWN = 60
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_CONDITION = re.compile(rf"(?P<field>[A-Za-z_]\w*)\s*(?P<comparison><=|>=|<|>)\s*(?P<number>{_NUMBER})", re.ASCII)
_OR = re.compile(r"(?<!\S)or(?!\S)", re.IGNORECASE)


class Comparison(enum.StrEnum):
    """How a field is compared with a number."""

    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="

    def holds(self, value: float, threshold: float) -> bool:
        """Whether `value` compares so with `threshold`."""
        test = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[self.value]
        return bool(test(value, threshold))


@dataclasses.dataclass(frozen=True)
class Condition:
    """One condition: the `field` in this `comparison` with the `threshold`."""

    field: str
    comparison: Comparison
    threshold: float

    def __str__(self) -> str:
        """The condition as it is written in a gate."""
        return f"{self.field} {self.comparison} {self.threshold!r}"


@dataclasses.dataclass(frozen=True)
class Trip:
    """A `condition` of a gate that holds, and the `value` of its field; None if there was no value."""

    condition: Condition
    value: float | None

    def __str__(self) -> str:
        """One line: the field, its value, the condition."""
        if self.value is None:
            return f"{self.condition.field} has no value here, which trips the gate {self.condition}"
        return f"{self.condition.field} is {self.value:.6g}: {self.condition}"

    def to_dict(self) -> dict[str, Any]:
        """Field, value, comparison and threshold as JSON-able data."""
        c = self.condition
        value = None if self.value is None or not math.isfinite(self.value) else self.value
        return {"field": c.field, "value": value, "comparison": c.comparison.value, "threshold": c.threshold}


@dataclasses.dataclass(frozen=True)
class Gate:
    """Some `conditions`; the gate trips when at least one of them holds."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        """The text that `parse_gate` reads."""
        return " or ".join(map(str, self.conditions))

    def require(self, available: Collection[str]) -> None:
        """Raise BadInput when a field is not among those `available` in the diagnosis at hand."""
        for condition in self.conditions:
            if condition.field not in available:
                raise BadInput(
                    f"`fail_on` must name fields that this diagnosis has: `{condition.field}` needs "
                    f"{FIELDS[condition.field].need.value}; see {PAGE}."
                )

    def tripped(self, values: Mapping[str, float]) -> tuple[Trip, ...]:
        """The conditions that hold for the `values` of the fields; a field without a value, or NaN, trips."""
        trips = []
        for condition in self.conditions:
            value = values.get(condition.field)
            if value is None or math.isnan(value):
                trips.append(Trip(condition, None))
            elif condition.comparison.holds(value, condition.threshold):
                trips.append(Trip(condition, float(value)))
        return tuple(trips)


def parse_gate(text: str) -> Gate:
    """The gate that `text` describes: conditions such as "overlap10 < 0.95", joined by `or`.

    Raises BadInput when it does not read so, or names a field that does not exist.

    Source: this package, docs/diagnose-fields.md.
    """
    return Gate(tuple(_condition(part.strip()) for part in _OR.split(text)))


def _condition(part: str) -> Condition:
    found = _CONDITION.fullmatch(part)
    if found is None:
        shown = textwrap.shorten(" ".join(part.split()), SHOWN, placeholder="...")
        what = f"`{shown}` was found" if part else "a condition is empty"
        raise BadInput(f"`fail_on` must be conditions on fields: {what}; {GRAMMAR}.")
    name, threshold = found["field"], float(found["number"])
    if name not in FIELDS:
        raise BadInput(f"`fail_on` must name known fields: `{name}` is none; {_nearest(name)} {PAGE} lists all.")
    if not math.isfinite(threshold):
        raise BadInput(
            f"`fail_on` must compare with finite numbers: {found['number']} is too large; give a smaller one."
        )
    return Condition(name, Comparison(found["comparison"]), threshold)


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), FIELDS, n=3, cutoff=0.5)
    if not near:
        return "there is none with a similar name;"
    return f"did you mean {' or '.join(f'`{field}`' for field in near)}?"
