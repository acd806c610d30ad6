"""The golden bounds of the blow-up time."""

from __future__ import annotations

import numpy as np
import pytest

from attnflow.asymptotics import blow_up
from attnflow.asymptotics.blow_up import Side, blow_up_bounds
from attnflow.asymptotics.system import System
from golden import load

NAMES = {
    "paper_upper": (blow_up.PAPER, Side.UPPER),
    "trace_upper_2_over_tr_VinvBinv": (blow_up.TRACE, Side.UPPER),
    "Bweighted_upper": (blow_up.WEIGHTED, Side.UPPER),
    "Bweighted_lower": (blow_up.WEIGHTED, Side.LOWER),
    "opnorm_lower": (blow_up.NORMS, Side.LOWER),
}
CASES = [pytest.param(case, id=case["name"]) for case in load("blowup_bounds")]


def bounds_of(inputs: dict):
    A, V, B, cov = (np.array(inputs[name], float) for name in ("A", "V", "B", "Sigma0"))
    return blow_up_bounds(System(A, V[None], B[None], np.zeros(len(A)), np.zeros((1, len(A)))), cov)


@pytest.mark.parametrize("case", CASES)
def test_every_bound_has_its_value(case):
    found, expected = bounds_of(case["inputs"]), case["expected"]
    for key, place in NAMES.items():
        if key in expected:
            assert found.bound(*place).value == pytest.approx(expected[key], rel=case["rtol"]), key


@pytest.mark.parametrize("case", CASES)
def test_the_blow_up_time_lies_between_the_best_bounds(case):
    found, T_f = bounds_of(case["inputs"]), case["expected"]["T_f"]
    if np.isfinite(float(T_f)):
        assert found.lower <= T_f <= found.upper
        assert found.upper <= found.bound(blow_up.PAPER, Side.UPPER).value
    else:
        assert found.upper is None
