"""`compare`: tokens drawn from a Gaussian beside the flow of the Gaussian, as their number grows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._check import BadInput, positive
from .._types import ArrayLike
from ..flow.leg import Progress
from ..flow.outcome import Status
from ..measures.gaussian import Gaussian
from ..transformer.depth import Model
from ..transformer.masked import unmasked
from .beside import bures_and_sliced, draw, least_scale, scale_of
from .comparison import Comparison, Measured
from .limit_trust import along
from .progress import progress_bar
from .run import Run
from .simulate import simulate
from .token_run import TokenRun


def compare(
    model: Model,
    start: Gaussian,
    n: Sequence[int] = (256, 1024, 4096),
    *,
    seed: int = 0,
    ts: ArrayLike | None = None,
    t1: float = 1.0,
    layers: int | None = None,
    step: float = 1.0,
    repeats: int = 4,
    tolerance: float = 0.1,
    rtol: float = 1e-6,
    progress: Progress | None = None,
) -> Comparison:
    """Run `n` tokens drawn from `start` beside the Gaussian flow of `start`, for each of the numbers in `n`.

    For every n, `repeats` independent samples are drawn from `seed` and moved by the flow of tokens; at the times `ts`
    (eleven from 0 to `t1` if None; or behind each of `layers` residual layers with `step`) the distances of their
    moments and of their measure to the Gaussian are measured, relative to its spread sqrt(tr cov), beside the distances
    that n independent points of that Gaussian would have. The verdict says for each n up to which time the errors stay
    below `tolerance`, what the sampling criteria of softmax heads say along the Gaussian flow, and with which power of
    n the errors fall. A mask is left out on the side of the Gaussian, where it is irrelevant: the tokens are drawn
    independently of their positions. `model` as in `simulate`; `rtol` is its tolerance for both sides; `progress` is
    called with the share of the work that is done.

    A blow-up of the Gaussian is no end of the comparison: tokens under normalised attention do not follow it, and the
    verdict says so. An interrupt keeps the samples that were finished.

    Raises BadInput, before any computation, when an argument breaks a rule.

    Source: this package, docs/theory/finite-n.md.
    """
    counts = _counts(n)
    rounds = _whole("repeats", repeats)
    limit = positive("tolerance", tolerance)
    times = np.linspace(0.0, positive("t1", t1), 11) if ts is None else ts
    clock: dict[str, Any] = {"ts": times} if layers is None else {"layers": layers, "step": step}
    limit_model = unmasked(model)
    _require_gaussian(start)
    run = simulate(limit_model, start, rtol=rtol, seed=seed, progress=lambda done: None, **clock)
    measured: dict[int, list[Measured]] = {count: [] for count in counts}
    work, done = rounds * float(sum(c**2 for c in counts)), 0.0
    try:
        with progress_bar(1.0, progress, words="tokens") as report:
            for count in counts:
                for i in range(rounds):
                    drawn = draw(start, count, seed=seed, round_=i)
                    tokens = simulate(model, drawn, rtol=rtol, progress=lambda done: None, **clock)
                    if tokens.status is Status.INTERRUPTED:
                        raise KeyboardInterrupt
                    measured[count].append(_measure(tokens, run))
                    done += count**2 / work
                    report(done)
    except KeyboardInterrupt:
        pass
    trust = along(limit_model, run, counts)
    return Comparison(run=run, measured=measured, tolerance=limit, seed=seed, repeats=rounds, trust=trust, model=model)


def _measure(tokens: TokenRun, run: Run) -> Measured:
    """The errors of one sample at the times that both flows reached."""
    both = min(tokens.ts.size, run.ts.size)
    spread = np.sqrt(np.trace(run.cov[:both], axis1=1, axis2=2))
    scale = scale_of(run.mean[:both], spread)
    sizes = np.maximum(np.linalg.norm(run.cov[:both], axis=(1, 2)), least_scale(run.mean[:both], spread) ** 2)
    gaussians = [Gaussian(run.mean[i], run.factor[i]) for i in range(both)]
    places = [bures_and_sliced(tokens.tokens[i], g, float(scale[i])) for i, g in enumerate(gaussians)]
    bures, sliced = np.array(places, dtype=np.float64).reshape(both, 2).T
    return Measured(
        status=tokens.status,
        evaluations=tokens.evaluations,
        trace=np.trace(tokens.cov, axis1=1, axis2=2),
        mean=np.linalg.norm(tokens.mean[:both] - run.mean[:both], axis=1) / scale,
        cov=np.linalg.norm(tokens.cov[:both] - run.cov[:both], axis=(1, 2)) / sizes,
        bures=bures,
        sliced=sliced,
    )


def _counts(n: Any) -> tuple[int, ...]:
    given = [n] if isinstance(n, int | np.integer) else list(n)
    counts = tuple(_whole("n", count) for count in given)
    if not counts:
        raise BadInput("`n` must hold at least one number of tokens: it is empty; give for example [256, 1024, 4096].")
    if any(b <= a for a, b in itertools.pairwise(counts)) or counts[0] < 2:
        raise BadInput(f"`n` must increase from at least 2: {list(counts)} was found; sort it and drop repetitions.")
    return counts


def _whole(name: str, value: Any) -> int:
    number = positive(name, value)
    if number % 1:
        raise BadInput(f"`{name}` must be a whole number: {number:g} was found.")
    return int(number)


def _require_gaussian(start: Any) -> None:
    if not isinstance(start, Gaussian):
        raise BadInput(
            f"`start` must be a Gaussian, from which tokens are drawn: {type(start).__name__} was found; use "
            "Gaussian.from_tokens(points) to compare with given tokens."
        )
