"""The confusion table: families against regimes, what the verdicts rest on, and what the referee says of them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable

from .families import GENERIC, NAMES

REGIMES = {
    "collapse to zero": "zero", "rank-deficient limit": "lower", "positive definite equilibrium": "definite",
    "continuum of limits": "family", "rotation": "turns", "limit cycle": "cycle", "polynomial growth": "poly",
    "exponential growth": "exp", "finite-time blow-up": "blow-up", "zero in a basin, blow-up outside": "basin",
    "several attractors: zero, rank-deficient, positive definite or blow-up, by the start": "several",
    "undetermined": "none",
}  # fmt: skip
Row = dict[str, object]


def table(rows: list[Row]) -> str:
    """All tables, as Markdown."""
    good = [row for row in rows if "error" not in row]
    parts = [_summary(good, len(rows) - len(good)), _by_family(good), _confusion(good, "cov"), _confusion(good, "mean")]
    return "\n\n".join(parts)


def _lines(head: list[str], body: Iterable[list[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(str(x) for x in row) + " |" for row in body)])


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _summary(rows: list[Row], errors: int) -> str:
    generic = [row for row in rows if row["family"] in GENERIC and not row["whole"]]
    open_ones = sum(row["basis"] == "undetermined" for row in generic)
    all_open = sum(row["basis"] == "undetermined" for row in rows)
    seconds, others = ([float(str(row[k])) for row in rows] for k in ("seconds", "referee_seconds"))
    return "\n".join(
        [
            f"{len(rows)} systems, {errors} errors.",
            f"Contradictions: covariance {_count(rows, 'cov_says', 'contradicts')}, "
            f"mean {_count(rows, 'mean_says', 'contradicts')}.",
            f"Undetermined: {open_ones} of {len(generic)} generic systems with a start "
            f"({_share(open_ones, len(generic))}), {all_open} of all ({_share(all_open, len(rows))}).",
            f"Median time: verdict {1e3 * statistics.median(seconds):.0f} ms, "
            f"referee {1e3 * statistics.median(others):.0f} ms.",
        ]
    )


def _count(rows: list[Row], key: str, value: str) -> int:
    return sum(row[key] == value for row in rows)


def _by_family(rows: list[Row]) -> str:
    head = ["family", "systems", *REGIMES.values(), "theorem", "numerical", "undetermined", "agrees", "cannot tell",
            "contradicts", "mean: agrees", "cannot tell", "contradicts"]  # fmt: skip
    body: list[list[object]] = []
    for name in (*NAMES, "all"):
        mine = [row for row in rows if name in ("all", row["family"])]
        if not mine:
            continue
        decided = [row for row in mine if row["basis"] != "undetermined"]
        told = [row for row in mine if row["mean_basis"] != "undetermined"]
        regimes = Counter(str(row["regime"]) for row in mine)
        basis = Counter(str(row["basis"]) for row in mine)
        says = ("agrees", "cannot tell", "contradicts")
        body.append(
            [name, len(mine), *(regimes[r] or "" for r in REGIMES), basis["theorem"], basis["numerical"],
             _share(basis["undetermined"], len(mine)), *(_count(decided, "cov_says", s) for s in says),
             *(_count(told, "mean_says", s) for s in says)]
        )  # fmt: skip
    return _lines(head, body)


def _confusion(rows: list[Row], what: str) -> str:
    regime, basis = ("regime", "basis") if what == "cov" else ("mean", "mean_basis")
    groups = sorted({(str(row[regime]), str(row[basis])) for row in rows if row[basis] != "undetermined"})
    body: list[list[object]] = []
    for name, rests in groups:
        mine = [row for row in rows if (row[regime], row[basis]) == (name, rests)]
        counts = [_count(mine, f"{what}_says", s) for s in ("agrees", "cannot tell", "contradicts")]
        body.append([name, rests, len(mine), *counts])
    head = ["covariance" if what == "cov" else "mean", "basis", "verdicts", "agrees", "cannot tell", "contradicts"]
    return _lines(head, body)
