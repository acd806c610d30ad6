"""Single precision first, double precision afterwards, in one process."""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af


@pytest.mark.parametrize("kind", ["softmax", "l2"])
def test_simulate_works_behind_an_evolve_in_single_precision(kind):
    value = np.diag([-1.0, -2.0])
    model = {"softmax": af.SoftmaxAttention(B=1.0, V=value), "l2": af.L2Attention(np.eye(2), value, 1.0)}[kind]
    start, ts = af.Gaussian.from_moments([0.1, 0.2], np.eye(2)), np.array([0.0, 0.5])
    early = af.evolve(model, start, ts)
    late = af.simulate(model, start, ts)
    assert early.cov.dtype == np.float32
    np.testing.assert_allclose(early.cov, late.cov, rtol=1e-4)


def test_tokens_in_single_precision_do_not_spoil_double_precision():
    points = np.random.default_rng(0).standard_normal((8, 2))
    model = af.L2Attention(np.eye(2), np.diag([1.0, 0.5]), -1.0)
    af.evolve_tokens(model, points.astype(np.float32), [0.5], rtol=1e-5)
    assert af.simulate(model, af.Tokens(points), [0.5]).status == "reached_end"


def test_a_step_without_layers_is_refused():
    with pytest.raises(af.BadInput, match="`step` is the step of residual layers"):
        af.simulate(af.Affine(1.0), af.Gaussian.from_moments([0.0], [[1.0]]), [1.0], step=0.5)


def test_an_ensemble_of_dirac_masses():
    starts = [af.Gaussian.from_factor(m, np.zeros((2, 0))) for m in ([1.0, 0.0], [0.0, 2.0])]
    found = af.ensemble(af.SoftmaxAttention(B=np.eye(2), V=np.diag([-1.0, -2.0])), starts, [0.5])
    assert found.factor.shape == (2, 1, 2, 0)
    np.testing.assert_allclose(found.mean[:, 0], [[np.exp(-0.5), 0.0], [0.0, 2 * np.exp(-1.0)]], atol=1e-5)


def test_a_comparison_from_a_dirac_mass_has_no_error():
    found = af.compare(af.SoftmaxAttention(B=1.0, V=1.0), af.Gaussian.from_moments([1.0], [[0.0]]), n=[20], repeats=1)
    assert found.errors["mean"].max() < 1e-2
    assert found.trusted_until(20) == 1.0


def test_a_comparison_says_when_sinkhorn_does_not_converge():
    model = af.SinkhornAttention(B=5.0, V=1.0, epsilon=0.05, max_iterations=3)
    found = af.compare(model, af.Gaussian.from_moments([0.0], [[1.0]]), n=[30], repeats=2)
    assert "n = 30: 2 of 2 samples ended early, not_converged" in found.verdict
