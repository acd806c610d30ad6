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
    worst = max(comparison.errors[name][index].max() for name in ("mean", "cov"))
    alone = max(comparison.floors[name][index].max() for name in ("mean", "cov"))
    if until is None:
        found = f"cannot be trusted: {worst:.1%} off already where {alone:.1%} is the noise of so few points"
    elif until < end:
        found = f"can be trusted up to t = {until:.4g} only: {worst:.1%} off later (sampling alone: {alone:.1%})"
    else:
        found = f"can be trusted up to t = {end:.4g}: at most {worst:.1%} off (sampling alone: {alone:.1%})"
    failing = [head for head in comparison.trust.get(n, []) if not head.trusted]
    return f"n = {n}: the Gaussian limit {found}{_criteria(failing)}."


def _criteria(failing: list[HeadTrust]) -> str:
    if not failing:
        return ""
    worst = min(failing, key=lambda head: head.t)
    return f"; by the sampling criteria {worst.name} leaves it at t = {worst.t:.4g}: {worst.reason}"


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
    if comparison.run.status not in (Status.REACHED_END, Status.BLOW_UP):
        lines.append(f"the Gaussian flow ended with status {comparison.run.status.value}.")
    return lines
