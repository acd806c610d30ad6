"""Symmetries of the flow that hold exactly on paper, measured on random systems through the public door.

The systems are drawn from a seed that Hypothesis chooses; the dimension and the number of times stay the same, because
every new shape is compiled once.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from systems import System, assert_same, distance, draw

import attnflow as af

RTOL, TOLERANCE = 1e-10, 1e-7  # the systems below have condition numbers up to some 100
TS = (0.25, 1.0)

exact_law = settings(
    max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(["scalar", "matrix", "heads"])
signs = st.sampled_from([-1.0, 0.7])


@st.composite
def systems(draw_, kinds=kinds) -> System:
    """Rank 2 in d = 3 with biases: a scalar V of either sign, a matrix V, or two heads."""
    rng, kind = np.random.default_rng(draw_(seeds)), draw_(kinds)
    if kind == "scalar":
        return draw(rng, 3, 2, eta=draw_(signs), biases=True)
    return draw(rng, 3, 2, heads=2 if kind == "heads" else 1, biases=True, size=0.4)


def changed_basis(system: System, T: np.ndarray) -> System:
    """The same flow in the coordinates x' = T x: keys and queries keep their logits."""
    back = np.linalg.inv(T)

    def head(B, V, q, c):
        V = V if np.ndim(V) == 0 else T @ V @ back
        return back.T @ B @ back, V, None if q is None else back.T @ q, None if c is None else T @ c

    heads = tuple(head(*h) for h in system.heads)
    return System(T @ system.A @ back, T @ system.b, heads, T @ system.mean, T @ system.factor)


def assert_moved(moved: af.Run, run: af.Run, T: np.ndarray) -> None:
    assert moved.status == run.status == "reached_end"
    assert distance(moved.mean, run.mean @ T.T) <= TOLERANCE
    assert distance(moved.cov, T @ run.cov @ T.T) <= TOLERANCE


@exact_law
@given(systems(), seeds)
def test_a_rotation_of_the_axes_rotates_the_flow(system, seed):
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((system.dim, system.dim)))
    assert_moved(changed_basis(system, Q).run(TS, rtol=RTOL), system.run(TS, rtol=RTOL), Q)


@exact_law
@given(systems(), seeds)
def test_any_change_of_basis_carries_the_flow_along(system, seed):
    T = np.eye(system.dim) + 0.4 * np.random.default_rng(seed).uniform(-1, 1, (system.dim, system.dim))
    assert_moved(changed_basis(system, T).run(TS, rtol=RTOL), system.run(TS, rtol=RTOL), T)


@exact_law
@given(systems(), seeds)
def test_a_translation_of_the_axes_translates_the_mean_and_nothing_else(system, seed):
    """(y - c)^T B (x - c) is y^T B x - y^T B c up to a constant in the key y: the shift becomes biases."""
    c = np.random.default_rng(seed).standard_normal(system.dim)

    def head(B, V, q, v):
        value = -V * c if np.ndim(V) == 0 else -V @ c
        return B, V, -B @ c if q is None else q - B @ c, value if v is None else v + value

    heads = tuple(head(*h) for h in system.heads)
    shifted = system.but(b=system.b - system.A @ c, heads=heads, mean=system.mean + c)
    run, moved = system.run(TS, rtol=RTOL), shifted.run(TS, rtol=RTOL)
    assert distance(moved.mean - c, run.mean) <= TOLERANCE
    assert distance(moved.cov, run.cov) <= TOLERANCE


@exact_law
@given(systems(), seeds)
def test_the_covariance_ignores_the_mean_and_the_mean_map_is_affine(system, seed):
    other = np.random.default_rng(seed).standard_normal(system.dim)
    one, two = system.run(TS, rtol=RTOL), system.but(mean=other).run(TS, rtol=RTOL)
    middle = system.but(mean=0.3 * system.mean + 0.7 * other).run(TS, rtol=RTOL)
    assert distance(two.cov, one.cov) <= TOLERANCE
    assert distance(middle.mean, 0.3 * one.mean + 0.7 * two.mean) <= TOLERANCE


@exact_law
@given(systems())
def test_flowing_in_two_legs_is_flowing_once(system):
    whole = system.run([0.4, 1.0], rtol=RTOL)
    second = af.simulate(system.model(), whole.at(0.4), ts=[0.3, 0.6], rtol=RTOL)
    assert distance(second.mean[-1], whole.mean[-1]) <= TOLERANCE
    assert distance(second.cov[-1], whole.cov[-1]) <= TOLERANCE
    assert second.rank == whole.rank


@exact_law
@given(systems())
def test_reversed_parameters_lead_back_to_the_start(system):
    heads = tuple((B, -V, q, None if c is None else -c) for B, V, q, c in system.heads)
    back = system.but(A=-system.A, b=-system.b, heads=heads)
    there = system.run([0.4, 0.8], rtol=RTOL)
    again = af.simulate(back.model(), there.at(0.8), ts=[0.4, 0.8], rtol=RTOL)
    assert distance(again.cov[0], there.cov[0]) <= TOLERANCE
    assert distance(again.mean[-1], system.mean) <= TOLERANCE
    assert distance(again.cov[-1], system.factor @ system.factor.T) <= TOLERANCE


@exact_law
@given(systems())
def test_a_rotation_of_the_factor_columns_changes_nothing(system):
    r = system.factor.shape[1]
    R, _ = np.linalg.qr(np.arange(1.0, 1.0 + r * r).reshape(r, r) ** 2 - 5.0 * np.eye(r))
    turned = system.but(factor=system.factor @ R)
    assert_same(turned.run(TS, rtol=RTOL), system.run(TS, rtol=RTOL), TOLERANCE)


@exact_law
@given(systems())
def test_the_other_requested_times_do_not_matter(system):
    alone, among = system.run([0.0, 0.7], rtol=RTOL), system.run([0.7, 1.0], rtol=RTOL)
    assert distance(among.cov[0], alone.cov[1]) <= TOLERANCE
    assert distance(among.mean[0], alone.mean[1]) <= TOLERANCE
    np.testing.assert_allclose(alone.mean[0], system.mean, rtol=1e-15)
    np.testing.assert_allclose(alone.cov[0], system.factor @ system.factor.T, rtol=1e-12, atol=1e-14)


@exact_law
@given(systems(st.sampled_from(["scalar", "matrix"])))
def test_a_head_split_in_halves_is_the_same_head(system):
    B, V, q, c = system.heads[0]
    half = (B, 0.5 * V, q, None if c is None else 0.5 * c)
    split = system.but(heads=(half, half, *system.heads[1:]))
    assert_same(split.run(TS, rtol=RTOL), system.run(TS, rtol=RTOL), TOLERANCE)


@exact_law
@given(seeds)
def test_heads_with_scalar_values_merge_into_one(seed):
    """sum_h eta_h (mean + cov B_h x) = eta (mean + cov B x) with eta = sum eta_h and eta B = sum eta_h B_h."""
    rng, etas = np.random.default_rng(seed), np.array([-1.5, 0.4])
    system = draw(rng, 3, 2, size=0.4)
    Bs = 0.2 * rng.standard_normal((2, 3, 3))
    many = system.but(heads=tuple((B, float(eta), None, None) for B, eta in zip(Bs, etas, strict=True)))
    one = system.but(heads=((np.tensordot(etas, Bs, 1) / etas.sum(), float(etas.sum()), None, None),))
    assert_same(many.run(TS, rtol=RTOL), one.run(TS, rtol=RTOL), TOLERANCE)


@pytest.mark.parametrize("engine", ["factor_ode", "covariance_ode"])
@exact_law
@given(seeds, signs)
def test_the_closed_form_and_the_ode_engines_agree(engine, seed, eta):
    system = draw(np.random.default_rng(seed), 3, 3, eta=eta)
    closed, ode = (system.run(TS, rtol=RTOL, engine=name) for name in ("closed_form", engine))
    assert (closed.engine, ode.engine) == ("closed_form", engine)
    assert_same(ode, closed, TOLERANCE)


@exact_law
@given(seeds)
def test_the_two_ode_engines_agree_for_a_matrix_value(seed):
    system = draw(np.random.default_rng(seed), 3, 3, heads=2, biases=True, size=0.4)
    factor, cov = (system.run(TS, rtol=RTOL, engine=name) for name in ("factor_ode", "covariance_ode"))
    assert_same(cov, factor, TOLERANCE)


@exact_law
@given(seeds, st.sampled_from(["closed_form", "factor_ode"]))
def test_a_low_rank_closed_form_is_its_ode(seed, engine):
    system = draw(np.random.default_rng(seed), 3, 2, eta=-1.0)
    assert_same(system.run(TS, rtol=RTOL, engine=engine), system.run(TS, rtol=RTOL), TOLERANCE)
