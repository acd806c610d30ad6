"""What a verdict is made of: sentences, each with what it rests on."""

from __future__ import annotations

import dataclasses
import enum
import math


class Kind(enum.StrEnum):
    """What a sentence rests on."""

    MEASURED = "measured"
    THEOREM = "theorem"
    CONSTRUCTION = "by construction"
    NO_PREDICTION = "no prediction"
    NOTE = "note"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One sentence, its `text`, and what it rests on, its `kind`."""

    text: str
    kind: Kind

    def __str__(self) -> str:
        """The sentence, with its kind in brackets."""
        return f"{self.text} ({self.kind})"


@dataclasses.dataclass(frozen=True)
class Part:
    """What one look at a diagnosis found: some `clauses` for the first line, and `findings` for the lines below."""

    clauses: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def measured(text: str) -> Finding:
    """The finding `text`, which was measured."""
    return Finding(text, Kind.MEASURED)


def short(value: float) -> str:
    """`value` with three significant digits, without a plus sign in the exponent; whole below ten thousand."""
    if math.isfinite(value) and abs(value) >= 999.5:
        return f"{value:.0f}" if abs(value) < 9999.5 else f"{value:.2e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A `share` in percent; what is not all is never called 100 %, what is not nothing never 0 %."""
    value = 100.0 * share
    if value in {0.0, 100.0} or 1.0 <= value < 99.0:
        return f"{value:.0f} %"
    return f"{min(max(value, 0.1), 99.9):.1f} %"
