"""The table of a benchmark: what was measured, the bar, and whether it is reached."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure: `value` against a `bar` that it must reach (`at_least`) or stay under."""

    what: str
    value: float
    bar: float
    at_least: bool = True
    detail: str = ""

    @property
    def reached(self) -> bool:
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def text(self) -> str:
        sign = ">=" if self.at_least else "<="
        mark = "yes" if self.reached else "NO "
        return f"{mark}  {self.what:<58} {self.value:>9.3g}  {sign} {self.bar:<7.3g} {self.detail}"


def table(title: str, rows: Iterable[Row]) -> str:
    return "\n".join([f"## {title}", *(row.text() for row in rows), ""])
