"""The confusion study: verdicts of `classify` about many random systems against long independent integrations.

python -m benchmarks.long_run_study --count 10000 --seed 0 --json FILE    goes on where FILE stops
python -m benchmarks.long_run_study --only FAMILY:INDEX                   one system again, in words
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import attnflow as af

from .long_run import closed_form, families, mean_rules, rules, table
from .long_run.cases import Case
from .long_run.referee import follow

if TYPE_CHECKING:
    from attnflow.doors.long_run.verdict import Verdict

BUDGET = 2.0
LIMIT = 120


def model_of(case: Case) -> af.Transformer:
    heads = [
        af.SoftmaxAttention(B=B, V=V, query_bias=tilt if tilt.any() else None)
        for V, B, tilt in zip(case.matrices.V, case.matrices.B, case.tilts, strict=True)
    ]
    return af.Transformer(attention=heads, feedforward=af.Affine(A=case.matrices.A, b=case.bias))


def verdict_of(case: Case) -> Verdict:
    start = None if case.whole else af.Gaussian.from_factor(case.mean, case.factor)
    return af.classify(model_of(case), start, dim=case.dim, budget=BUDGET)


def row_of(case: Case) -> dict[str, object]:
    """The verdict, what the referee says of it, and the seconds that both took."""
    begin = time.perf_counter()
    verdict = verdict_of(case)
    middle = time.perf_counter()
    with_mean = verdict.mean != "undetermined" and not (case.whole and verdict.mean == "divergence")
    path = follow(case, rules.horizon(case, verdict), mean=with_mean)
    covariance, mean = rules.covariance(case, verdict, path), mean_rules.mean(verdict, path)
    if covariance.says is rules.Says.CONTRADICTS:
        covariance = rules.confirmed(case, verdict, covariance)
    doubtful = covariance.says is not rules.Says.AGREES or case.index % closed_form.EVERY == closed_form.EVERY - 1
    if verdict.determined and case.scalar and not case.whole and doubtful:
        covariance = closed_form.second_opinion(case, verdict, covariance)
    return {
        "family": case.family, "index": case.index, "d": case.dim, "r": case.rank, "whole": case.whole,
        "regime": str(verdict.covariance), "basis": str(verdict.basis), "statement": verdict.statement,
        "mean": str(verdict.mean), "mean_basis": str(verdict.mean_basis), "reason": verdict.reason,
        "cov_says": str(covariance.says), "cov_why": covariance.why, "mean_says": str(mean.says),
        "mean_why": mean.why, "seconds": middle - begin, "referee_seconds": time.perf_counter() - middle,
    }  # fmt: skip


def keys(count: int) -> Iterator[tuple[str, int]]:
    """`count` systems, the families in turn."""
    for number in range(count):
        yield families.NAMES[number % len(families.NAMES)], number // len(families.NAMES)


def _one(key: tuple[str, int, int]) -> dict[str, object]:
    name, index, seed = key
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(LIMIT)
    try:
        return row_of(families.case(name, index, seed))
    except Exception as error:
        return {"family": name, "index": index, "error": f"{type(error).__name__}: {error}"}
    finally:
        signal.alarm(0)


def _give_up(number: int, frame: object) -> None:
    raise TimeoutError(f"more than {LIMIT} s")


def rows(wanted: list[tuple[str, int, int]], processes: int) -> Iterator[dict[str, object]]:
    if processes == 1:
        yield from map(_one, wanted)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_one, wanted, chunksize=8)


def _told(row: dict[str, object]) -> str | None:
    """The line for a row that should not be."""
    name = f"{row['family']}:{row['index']}"
    if "error" in row:
        return f"ERROR {name}: {row['error']}"
    found = [f"{what} {row[what + '_why']}" for what in ("cov", "mean") if row[what + "_says"] == "contradicts"]
    if not found:
        return None
    return f"CONTRADICTION {name} d={row['d']} r={row['r']}: {row['regime']} ({row['basis']}), mean {row['mean']} ({row['mean_basis']}): {'; '.join(found)}"  # noqa: E501


def study(count: int, seed: int, processes: int, file: Path | None) -> list[dict[str, object]]:
    done = [json.loads(line) for line in file.read_text().splitlines()] if file is not None and file.exists() else []
    known = {(row["family"], row["index"]) for row in done}
    wanted = [(*key, seed) for key in keys(count) if key not in known]
    begin = time.monotonic()
    for number, row in enumerate(rows(wanted, processes), start=1):
        done.append(row)
        if file is not None:
            with file.open("a") as out:
                out.write(json.dumps(row) + "\n")
        line = _told(row)
        if line:
            print(line, flush=True)
        if number % 100 == 0:
            print(f"{number} of {len(wanted)}, {time.monotonic() - begin:.0f} s", flush=True)
    return done


def replay(name: str, seed: int) -> None:
    family, index = name.split(":")
    case = families.case(family, int(index), seed)
    np.set_printoptions(precision=17, linewidth=150)
    for label, value in case.matrices._asdict().items():
        print(f"{label} = {value!r}")
    print(f"factor = {case.factor!r}\nmean = {case.mean!r}\nbias = {case.bias!r}\ntilts = {case.tilts!r}")
    print(verdict_of(case))
    print(json.dumps(row_of(case), indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--only", default=None, metavar="FAMILY:INDEX")
    chosen = parser.parse_args()
    if chosen.only is not None:
        replay(chosen.only, chosen.seed)
        return
    print(table.table(study(chosen.count, chosen.seed, chosen.processes, chosen.json)))


if __name__ == "__main__":
    main()
