"""The words of a comparison: can the Gaussian limit be trusted at this number of tokens?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..flow.outcome import Status
from .limit_trust import HeadTrust

if TYPE_CHECKING:
    from .comparison import Comparison


def words(comparison: Comparison) -> str:
    """The verdict, one line for each number of tokens and one for what they have in common."""
    if not comparison.n.size or not comparison.ts.size:
        return "undetermined: no sample of tokens was finished."
    lines = [_line(comparison, int(count)) for count in comparison.n]
    return "\n".join([*lines, *_common(comparison)])


def _line(comparison: Comparison, n: int) -> str:
    index = int((comparison.n == n).nonzero()[0][0])
    until, end = comparison.trusted_until(n), float(comparison.ts[-1])
    first, last = _worst(comparison, index, 0), _worst(comparison, index, comparison.ts.size - 1, largest=True)
    if until is None:
        found = f"cannot be trusted: {first} already at t = {comparison.ts[0]:.4g}, with so few points"
    elif until < end:
        found = f"can be trusted up to t = {until:.4g} only: {last} later"
    else:
        found = f"can be trusted up to t = {end:.4g}: at most {last}"
    failing = [head for head in comparison.trust.get(n, []) if not head.trusted]
    return f"n = {n}: the Gaussian limit {found}{_criteria(failing)}."


def _worst(comparison: Comparison, index: int, last: int, *, largest: bool = False) -> str:
    """The larger of the errors of mean and covariance at the time `last`, or up to it, beside its own floor."""
    rows = {name: comparison.errors[name][index][: last + 1] for name in ("mean", "cov")}
    name = max(rows, key=lambda key: rows[key].max() if largest else rows[key][-1])
    place = int(rows[name].argmax()) if largest else last
    floor = comparison.floors[name][index][place]
    what = {"mean": "mean", "cov": "covariance"}[name]
    return f"{rows[name][place]:.1%} off in the {what} (sampling alone: {floor:.1%})"


def _criteria(failing: list[HeadTrust]) -> str:
    if not failing:
        return ""
    worst = min(failing, key=lambda head: head.t)
    return f"; beside this measurement, a sampling criterion warns of {worst.name} at t = {worst.t:.4g}: {worst.reason}"


def _common(comparison: Comparison) -> list[str]:
    lines = []
    rates = comparison.rates
    if rates:
        lines.append(
            f"errors fall as n^{rates['mean']:.2f} (mean), n^{rates['cov']:.2f} (covariance), n^{rates['sliced']:.2f} "
            "(sliced Wasserstein); independent points: n^-0.50."
        )
    if not comparison.run.exact:
        lines.append(
            "the Gaussian side is a projection (moment closure), not the limit itself: part of its error stays."
        )
    if comparison.run.status is Status.BLOW_UP and comparison.run.blow_up is not None:
        lines.append(
            f"the Gaussian limit blows up at t = {comparison.run.blow_up.estimate:.6g}; "
            + (
                "the tokens do, too."
                if all(s.status is Status.BLOW_UP for rows in comparison.measured.values() for s in rows)
                else "finitely many tokens do not follow it: near that time the limit says nothing about them."
            )
        )
    for n, samples in comparison.measured.items():
        failed = [s.status for s in samples if s.status not in (Status.REACHED_END, Status.BLOW_UP)]
        if failed:
            lines.append(f"n = {n}: {len(failed)} of {len(samples)} samples ended early, {failed[0].value}.")
    if comparison.run.status not in (Status.REACHED_END, Status.BLOW_UP):
        lines.append(f"the Gaussian flow ended with status {comparison.run.status.value}.")
    return lines
