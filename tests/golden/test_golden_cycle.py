"""The limit cycle of the golden cases: its period, its place and its multiplier, from 30-digit return maps."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow.asymptotics.evidence import long_run
from attnflow.asymptotics.regime import Regime
from attnflow.asymptotics.system import System
from golden import load


@pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in load("limit_cycle")])
def test_the_cycle_has_the_period_and_passes_the_section(case):
    inputs, expected = case["inputs"], case["expected"]
    A, V, B = (np.array(inputs[name]) for name in "AVB")
    found = long_run(System(A, V[None], B[None], np.zeros(2), np.zeros((1, 2))), np.linalg.cholesky(inputs["Sigma0"]))
    assert found.regime is Regime.CYCLE
    assert found.cycle.period == pytest.approx(expected["period"], rel=case["rtol"])
    assert abs(found.cycle.multipliers[0]) == pytest.approx(expected["floquet_leading"], abs=5e-4)
    state = np.array(expected["section_state"])

    def velocity(_, flat):
        S = flat.reshape(2, 2)
        M = A + V @ S @ B
        return (M @ S + S @ M.T).ravel()

    def section(_, flat):
        return flat[0] - expected["section_s11"]

    run = solve_ivp(
        velocity, (0.0, found.cycle.period), found.cycle.point.ravel(), "DOP853", events=section, rtol=1e-13, atol=1e-15
    )
    misses = [np.linalg.norm(y.reshape(2, 2) - state) for y in run.y_events[0]]
    assert min(misses) <= case["rtol"] * np.linalg.norm(state)
