"""Proposition 2.3: how fast ReLU tokens leave the Gaussian flow, against the bound, on chosen and random systems.

Source: :cite:alcalde2026, Prop. 2.3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr

from ..._atomic import replacing
from ...doors.departure import departure
from ...doors.departure_result import Departure
from ...files.provenance import provenance
from ...files.results import write_dataset
from ..check import Check, Reproduction, close, same
from . import prop23_systems as systems
from .prop23_systems import Case

NAME: Final = "alcalde2026/prop23"
FILES: Final = ("prop23.png", "prop23.nc", "prop23.json")
RANDOM: Final = {1: 250, 2: 150, 3: 100}
"""How many random systems of each dimension."""
ALLOWED: Final = 1e-3
CLOUD: Final = 400
TURNED: Final = 4096
"""Tokens of a cloud of the random systems, and of the rotation."""
PICTURE: Final = np.linspace(0.0, 1.0, 11)


def reproduce(folder: Path) -> Reproduction:
    """The study on chosen and random systems, its picture, data and checks, written into `folder`.

    Source: :cite:alcalde2026, Prop. 2.3.
    """
    turned = departure(systems.rotation().model, systems.rotation().start, PICTURE, n=TURNED, repeats=4)
    cases = [systems.random_case(i, dim) for dim, count in RANDOM.items() for i in range(count)]
    studies = [study(case) for case in cases]
    checks = (*line_checks(), *rotation_checks(), *random_checks(cases, studies))
    picture, data, report = (folder / file for file in FILES)
    with replacing(picture) as partial:
        turned.plot().savefig(partial, format="png")
    dataset = _dataset(cases, studies)
    dataset.attrs = {"kind": "reproduction", "target": NAME, "checks": [check.to_dict() for check in checks]}
    write_dataset(dataset, data)
    listed = {"target": NAME, "checks": [check.to_dict() for check in checks], "provenance": provenance()}
    with replacing(report) as partial:
        partial.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    return Reproduction(checks, {"random": dataset}, (picture, data, report))


def study(case: Case) -> Departure:
    """The departure of one system at the three small times: exact on the line, one cloud of tokens otherwise."""
    return departure(case.model, case.start, systems.TIMES, n=CLOUD, repeats=1)


def line_checks() -> list[Check]:
    """W_2 / (t bound) of the two systems on the line against their references, and its limit 1."""
    checks = []
    for case in systems.on_the_line():
        found = study(case)
        assert case.ratios is not None
        checks += [
            close(f"{case.name}: W_2 / (t bound) at t = 0.005, 0.01, 0.02", found.ratio, case.ratios, atol=1e-6),
            close(f"{case.name}: its limit at t = 0", found.initial_ratio or 0.0, 1.0, atol=1e-4),
            close(
                f"{case.name}: sharp slope / bound", (found.defect.slope or 0.0) / found.defect.bound, 1.0, atol=1e-10
            ),
        ]
    return checks


def rotation_checks() -> list[Check]:
    """The rotation: the bound is 1, the slope sqrt(3/8), between the slopes of the moments and of the best coupling."""
    case = systems.rotation()
    found = departure(case.model, case.start, systems.TIMES, n=TURNED, repeats=4)
    slopes = found.identity.slopes()
    return [
        close("rotation: bound", found.defect.bound, 1.0, rtol=1e-12),
        close("rotation: sharp slope, sqrt(3/8)", found.defect.slope or 0.0, np.sqrt(3 / 8), rtol=1e-10),
        close("rotation: slope of the moments, 1 / sqrt(pi)", slopes["lower"] or 0.0, 1 / np.sqrt(np.pi), rtol=0.02),
        close("rotation: slope of the best coupling, 1 / sqrt(2)", slopes["upper"] or 0.0, 1 / np.sqrt(2), rtol=0.02),
    ]


def random_checks(cases: Sequence[Case], studies: Sequence[Departure]) -> list[Check]:
    """Of the `studies` of random `cases`: slopes below the bound, and the sharp slope between its two measured ends."""
    below = sum((found.initial_ratio or 0.0) <= 1 + ALLOWED for found in studies)
    proved = sum(found.defect.time is not None for found in studies)
    exact = [found for found in studies if found.exact]
    worst = max((abs((found.initial_ratio or 0.0) - 1) for found in exact), default=0.0)
    clouds = [found for found in studies if not found.exact]
    enclosed = sum(_enclosed(found) for found in clouds)
    return [
        same(f"{len(cases)} random systems: slopes at t = 0 below the bound times 1.001", below, len(cases)),
        same("the hypotheses of Lemma 2.2 hold, and a time is known", proved, len(cases)),
        close(f"{len(exact)} on the line: slope / bound is 1, largest error", worst, 0.0, atol=ALLOWED),
        same(f"{len(clouds)} with d > 1: the sharp slope lies between the measured ends", enclosed, len(clouds)),
    ]


def _enclosed(found: Departure) -> bool:
    """Relative to the bound, that of the cloud for what the cloud measured, up to 1 / sqrt(n)."""
    slopes, room = found.identity.slopes(), 1 / np.sqrt(found.n)
    low, high = ((slopes[name] or 0.0) / found.cloud_bound for name in ("lower", "upper"))
    return bool(low - room <= (found.defect.slope or 0.0) / found.defect.bound <= high + room)


def _dataset(cases: Sequence[Case], studies: Sequence[Departure]) -> xr.Dataset:
    rows = {
        "dimension": [case.start.dim for case in cases],
        "bound": [found.defect.bound for found in studies],
        "cloud_bound": [found.cloud_bound for found in studies],
        "sharp_slope": [found.defect.slope for found in studies],
        "lemma_time": [found.defect.time for found in studies],
        "slope_lower": [found.identity.slopes()["lower"] for found in studies],
        "slope_upper": [found.identity.slopes()["upper"] for found in studies],
    }
    return xr.Dataset({name: ("system", np.array(row, dtype=np.float64)) for name, row in rows.items()},
                      {"system": [case.name for case in cases]})  # fmt: skip
