"""Times on the command line, and times for pictures."""

from __future__ import annotations

import numpy as np

from .._check import BadInput
from .._check import times as increasing_times

MOST = 1_000_000
PICTURE = 300
PICTURE_NUMBERS = 2**24
FORMS = 'give "0,0.5,100" or start:stop:step as in "0:100:0.5"'


def parse_times(text: str) -> np.ndarray:
    """The times in "0,0.5,100"; a part may be a range start:stop:step, which holds its stop when the steps meet it.

    Raises BadInput for anything else, and for times that are negative or do not increase.
    """
    parts = [_range(part) if ":" in part else np.array([_number(part)]) for part in text.split(",")]
    return increasing_times("--times", np.concatenate(parts))


def picture_times(ts: np.ndarray, until: float, dim: int, *, blow_up: bool) -> np.ndarray:
    """About 300 times from 0 to `until`: even ones, ones that resolve the beginning, and ones between the steps `ts`.

    Before a blow-up the end is resolved instead of the beginning. Fewer when the covariances (`dim`, `dim`) are large.
    """
    count = int(np.clip(PICTURE_NUMBERS // dim**2, 12, PICTURE)) // 3
    even = np.linspace(0.0, until, count)
    close = np.geomspace(1e-4 * until, until, count)
    steps = np.union1d([0.0, until], ts[ts <= until])
    between = np.interp(np.linspace(0, steps.size - 1, count), np.arange(steps.size), steps)
    return np.unique(np.clip(np.concatenate([even, until - close if blow_up else close, between]), 0.0, until))


def _range(part: str) -> np.ndarray:
    numbers = [_number(number) for number in part.split(":")]
    if len(numbers) != 3:
        raise BadInput(f"`--times` must have three numbers in a range: {part!r} was found; {FORMS}.")
    start, stop, step = numbers
    if step <= 0 or stop < start:
        raise BadInput(f"`--times` must increase: the range {part!r} does not; the step comes last, {FORMS}.")
    steps = (stop - start) / step
    if not steps < MOST:
        raise BadInput(f"`--times` must hold at most {MOST} times: {part!r} has {steps:.3g}; take a larger step.")
    whole = round(steps)
    if abs(steps - whole) <= 1e-9 * max(whole, 1):
        return np.linspace(start, stop, whole + 1)
    return start + step * np.arange(int(steps) + 1)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise BadInput(f"`--times` must hold numbers: {text!r} was found; {FORMS}.") from None
    if not np.isfinite(number):
        raise BadInput(f"`--times` must be finite: {text!r} was found; {FORMS}.")
    return number
