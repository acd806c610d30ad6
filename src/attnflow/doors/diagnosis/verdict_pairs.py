"""What changed from one model to another, in words."""

from __future__ import annotations

import numpy as np

from ...diagnostics.pairing import CHANCE, Overlap, Pairing
from .thresholds import DRIFT, FEW, STAYED
from .verdict_finding import Finding, Kind, Part, measured, percent, short

FAR = 0.5
"""Neighbours stay although the coordinates are so far away: a rotation would do that."""


def differences(pairing: Pairing) -> Part:
    """What the comparison `pairing` shows, the neighbours first, then where the drift starts."""
    notes = tuple(Finding(note, Kind.NOTE) for note in pairing.notes)
    if pairing.identical:
        text = f"identical outputs on all {pairing.inputs} inputs"
        return Part((text,), (measured(text), *notes))
    clauses = tuple(text for text in (_kept(pairing), _start(pairing)) if text)
    return Part(clauses, (*_neighbours(pairing), *_cosines(pairing), *_drift(pairing), *notes))


def _kept(pairing: Pairing) -> str:
    if pairing.overlap is not None:
        return _shared(pairing.overlap)
    if pairing.cosine is not None:
        return f"median cosine of the outputs {_cosine(np.median(pairing.cosine))}"
    return "outputs cannot be compared"


def _shared(overlap: Overlap) -> str:
    """The share of neighbours that is kept, beside what chance keeps where that is much."""
    much = overlap.chance > CHANCE
    both = f"({percent(overlap.mean)}, by chance {percent(overlap.chance)})"
    if overlap.low <= overlap.chance:
        return f"no more neighbours kept than by chance {both}"
    if much and _beyond(overlap) < FEW.value:
        return f"few neighbours kept beyond chance {both}"
    kept = "all neighbours kept" if overlap.mean == 1.0 else f"neighbours kept {percent(overlap.mean)}"
    return f"{kept} ({percent(overlap.chance)} by chance)" if much else kept


def _beyond(overlap: Overlap) -> float:
    """The share that is kept of the neighbours that chance would not keep; 1 where it would keep all."""
    return max((overlap.mean - overlap.chance) / (1.0 - overlap.chance), 0.0) if overlap.chance < 1.0 else 1.0


def _start(pairing: Pairing) -> str:
    drift = pairing.drift
    if drift is None:
        return ""
    if drift.start is None:
        return f"drift below {percent(DRIFT.value)}" if drift.value.max() <= DRIFT.value else "drift not certain"
    return "drift starts in the embeddings" if drift.start == 0 else f"drift starts at layer {drift.start}"


def _neighbours(pairing: Pairing) -> tuple[Finding, ...]:
    overlap = pairing.overlap
    if overlap is None:
        return ()
    kept = f"of the {overlap.neighbours} nearest neighbours {100 * overlap.mean:.1f} % are kept"
    interval = f"95 % interval {100 * overlap.low:.1f} to {100 * overlap.high:.1f} %"
    beyond = f"; beyond chance {percent(_beyond(overlap))} of what could be kept" if overlap.chance > CHANCE else ""
    found = [measured(f"{kept} ({interval}; unrelated outputs: {percent(overlap.chance)}{beyond})")]
    if pairing.drift is not None and _beyond(overlap) >= STAYED.value and pairing.drift.value[-1] >= FAR:
        found.append(measured("neighbours stay although the states are far apart, as after a rotation of the outputs"))
    return tuple(found)


def _cosines(pairing: Pairing) -> tuple[Finding, ...]:
    if pairing.cosine is None:
        return ()
    median, low, least = (_cosine(np.quantile(pairing.cosine, q)) for q in (0.5, 0.05, 0.0))
    return (measured(f"cosine of the two outputs: median {median}, 5 % of the inputs below {low}, smallest {least}"),)


def _drift(pairing: Pairing) -> tuple[Finding, ...]:
    drift = pairing.drift
    if drift is None:
        return ()
    largest = int(np.argmax(drift.value))
    where = f"largest {short(drift.value[largest])} at layer {largest}, {short(drift.value[-1])} after the last"
    if drift.start is None:
        text = f"no drift is certainly above {percent(DRIFT.value)} of the spread between inputs: {where}"
    else:
        begins = (
            f"{short(drift.value[drift.start])} ({short(drift.low[drift.start])} to {short(drift.high[drift.start])})"
        )
        text = f"drift in units of the spread between inputs: {begins} at layer {drift.start}, {where}"
    return (measured(text),)


def _cosine(value: float) -> str:
    """A cosine with the digits that tell it from 1."""
    gap = 1.0 - float(value)
    digits = 3 if gap <= 0 else min(max(3, 1 - int(np.floor(np.log10(gap)))), 9)
    return f"{value:.{digits}f}"
