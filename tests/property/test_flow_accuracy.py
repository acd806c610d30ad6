"""The error stays below 10 rtol times the condition number of the flow.

The condition number is measured, not assumed. For an output Phi (the mean or the covariance at the last time) and each
input p among A, b, every B and V, every bias, the mean and the factor of the start, J_p is the Jacobian of Phi by
central differences of the DOP853 replay (relative step 1e-6), and

    kappa = 1 + sum_p |J_p|_2 |p| / |Phi|.

The step errors of an integrator act like relative perturbations of the rates along the way, so kappa with the
parameters in it is the yardstick, not the sensitivity to the start alone. References: Taylor series in 50 digits.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from systems import System, draw

from oracles import highprec
from oracles.replay import replay_moments

STEP, DIGITS, END = 1e-6, 50, 1.5


def _contracting() -> System:
    """V < 0 < B and an unstable A, rank 2 in d = 4: round-off in the covariance itself would be amplified."""
    system = draw(np.random.default_rng(33), 4, 2)
    A = system.A + np.eye(4)
    B = np.eye(4) + 0.3 * system.heads[0][0] @ system.heads[0][0].T
    return system.but(A=A, heads=((B, -np.diag([1.0, 1.5, 2.0, 3.0]), None, None),))


def _near_blow_up() -> System:
    """Some three quarters of the way to the blow-up at END."""
    system = draw(np.random.default_rng(51), 2, 2)
    B, V = np.array([[1.0, 0.25], [-0.25, 0.75]]), np.array([[0.5, 0.125], [0.0, 0.75]])
    return system.but(heads=((B, V, None, None),), factor=np.array([[0.5, 0.0], [0.125, 0.375]]))


MAKERS = {
    "scalar_V_negative": lambda: draw(np.random.default_rng(1), 3, 3, eta=-1.0, biases=True),
    "scalar_V_positive_rank_2": lambda: draw(np.random.default_rng(2), 3, 2, eta=0.5),
    "matrix_V": lambda: draw(np.random.default_rng(3), 3, 3),
    "matrix_V_rank_1": lambda: draw(np.random.default_rng(4), 3, 1),
    "two_heads_with_biases": lambda: draw(np.random.default_rng(5), 3, 2, heads=2, biases=True, size=0.4),
    "contracting_rank_2": _contracting,
    "near_blow_up": _near_blow_up,
}


@functools.cache
def system_of(name: str) -> System:
    return MAKERS[name]()


@functools.cache
def reference(name: str):
    system = system_of(name)
    A, b, heads = system.parameters()
    return highprec.flow_taylor(A, b, heads, system.mean, highprec.gram(system.factor), END, dps=DIGITS)


def _inputs(system: System) -> list[np.ndarray]:
    A, b, heads = system.parameters()
    return [A, b, *(p for head in heads for p in head if p is not None), system.mean, system.factor]


def _outputs(system: System, inputs) -> tuple[np.ndarray, np.ndarray]:
    A, b, *middle, mean, factor = inputs
    queue = iter(middle)
    heads = [tuple(None if p is None else next(queue) for p in head) for head in system.parameters()[2]]
    means, covs = replay_moments((A, b, heads), mean, factor, [END])
    return means[-1], covs[-1].ravel()


@functools.cache
def condition(name: str) -> tuple[float, float]:
    """kappa for the mean and for the covariance."""
    system = system_of(name)
    inputs = _inputs(system)
    kappa = np.ones(2)
    sizes = [np.linalg.norm(out) for out in _outputs(system, inputs)]
    for i, p in enumerate(inputs):
        step = STEP * np.linalg.norm(p)
        columns: tuple[list, list] = ([], [])
        for place in np.ndindex(p.shape):
            moved = []
            for sign in (1.0, -1.0):
                q = p.copy()
                q[place] += sign * step
                moved.append(_outputs(system, [*inputs[:i], q, *inputs[i + 1 :]]))
            for k in range(2):
                columns[k].append((moved[0][k] - moved[1][k]) / (2 * step))
        for k in range(2):
            kappa[k] += np.linalg.norm(np.stack(columns[k], 1), 2) * np.linalg.norm(p) / sizes[k]
    return float(kappa[0]), float(kappa[1])


#: The covariance engine is for full rank; None leaves the choice to the package.
FULL_RANK = ("scalar_V_negative", "matrix_V", "near_blow_up")
CHOICES = [(engine, name) for engine in (None, "factor_ode") for name in MAKERS]
CHOICES += [("covariance_ode", name) for name in FULL_RANK]


@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize(("engine", "name"), CHOICES)
def test_the_error_is_at_most_ten_times_the_tolerance_times_the_condition(engine, name, rtol):
    system = system_of(name)
    run = system.run([0.5 * END, END], rtol=rtol, engine=engine)
    assert run.status == "reached_end"
    mean, cov = reference(name)
    kappa_mean, kappa_cov = condition(name)
    assert highprec.relative_error(run.mean[-1], mean) <= 10 * rtol * kappa_mean
    assert highprec.relative_error(run.cov[-1], cov) <= 10 * rtol * kappa_cov


def test_the_condition_number_grows_towards_the_blow_up():
    assert condition("near_blow_up")[1] > 10 > condition("scalar_V_negative")[1] / 10
