"""The test of Henze and Zirkler: statistic, p-value, rank, and when it says nothing."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

import attnflow as af
from attnflow import BadInput
from attnflow.doors import distances
from attnflow.measures.normality import henze_zirkler_bandwidth, null_moments
from golden import HERE

CASES = {case["name"]: case for case in json.loads((HERE / "distances.json").read_text())["cases"]}


def plain_statistic(points: np.ndarray, beta: float) -> float:
    """With the inverse of the covariance, as it is defined."""
    n, d = points.shape
    centred = points - points.mean(axis=0)
    forms = centred @ np.linalg.inv(centred.T @ centred / n) @ centred.T
    squares = np.diag(forms)[:, None] - 2 * forms + np.diag(forms)
    pairs = np.exp(-(beta**2) / 2 * squares).sum() / n
    cross = (1 + beta**2) ** (-d / 2) * np.exp(-(beta**2) / (2 * (1 + beta**2)) * np.diag(forms)).sum()
    return float(pairs - 2 * cross + n * (1 + 2 * beta**2) ** (-d / 2))


def test_the_golden_kernel_width_and_null_moments():
    case = CASES["hz_beta_and_null_n100_d2"]
    h = henze_zirkler_bandwidth(100, 2)
    np.testing.assert_allclose([1 / h, *null_moments(2, h)], case["expected"], rtol=case["rtol"])


def scattered() -> dict[str, np.ndarray]:
    """Two sets of tokens from elementary functions, so that other programs can make them, too."""
    i, j = np.arange(1, 41.0), np.arange(1, 61.0)
    waves = np.column_stack([np.sin(i * i), np.cos(3 * i) + 0.3 * np.sin(i * i), np.mod(i * 0.618, 1) ** 2])
    skewed = np.column_stack([-np.log(np.mod(j * 0.7548776662, 1) + 1e-3), np.mod(j * 0.5698402910, 1) + j / 60])
    return {"waves": waves, "skewed": skewed}


@pytest.mark.parametrize(
    ("name", "statistic", "p_value"),
    [("waves", 1.0516893025110796, 0.010293395820042009), ("skewed", 1.4447263092019325, 0.0016731426752532236)],
)
def test_pingouin_finds_the_same(name, statistic, p_value):
    """pingouin 0.7.0, multivariate_normality."""
    found = distances.henze_zirkler(scattered()[name])
    assert found.statistic == pytest.approx(statistic, rel=1e-12)
    assert found.p_value == pytest.approx(p_value, rel=1e-10)
    assert (found.rank, found.note) == (found.dim, "")


def test_the_statistic_is_n_times_the_discrepancy_of_the_standardised_tokens(rng):
    points = rng.exponential(size=(80, 3)) @ rng.standard_normal((3, 3)) + 5.0
    found = distances.henze_zirkler(points)
    assert found.statistic == pytest.approx(plain_statistic(points, 1 / found.bandwidth), rel=1e-10)
    white = (points - points.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(points.T, bias=True))).T
    normal = af.Gaussian.from_moments(np.zeros(3), np.eye(3))
    discrepancy = distances.mmd_squared(white, normal, bandwidth=found.bandwidth)
    assert 80 * discrepancy == pytest.approx(found.statistic, rel=1e-10)


def test_the_level_is_kept_and_other_laws_are_seen(rng):
    turn = rng.standard_normal((4, 4))
    gaussian = [distances.henze_zirkler(rng.standard_normal((120, 4)) @ turn).p_value for _ in range(400)]
    assert 0.02 < np.mean(np.array(gaussian) < 0.05) < 0.09
    assert 0.4 < np.mean(np.array(gaussian) < 0.5) < 0.6
    skewed = [distances.henze_zirkler(rng.exponential(size=(120, 4)) @ turn).p_value for _ in range(20)]
    assert max(skewed) < 1e-3


def test_an_affine_map_changes_nothing(rng):
    points = rng.exponential(size=(60, 3))
    moved = points @ rng.standard_normal((3, 3)) * 1e-3 + 40.0
    assert distances.henze_zirkler(moved).statistic == pytest.approx(
        distances.henze_zirkler(points).statistic, rel=1e-8
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_singular_covariance_is_tested_in_its_subspace(rng, dtype):
    inner = rng.exponential(size=(90, 2))
    plane = np.linalg.qr(rng.standard_normal((5, 2)))[0] * [1.0, 0.2]
    found = distances.henze_zirkler((inner @ plane.T + 30.0).astype(dtype))
    inside = distances.henze_zirkler(inner)
    assert (found.dim, found.rank) == (5, 2)
    assert "rank 2" in found.note
    assert found.statistic == pytest.approx(inside.statistic, rel=1e-9 if dtype == np.float64 else 1e-3)
    assert found.p_value == pytest.approx(inside.p_value, rel=1e-8 if dtype == np.float64 else 1e-2)


def test_too_few_tokens_have_no_p_value_and_the_note_says_how_many_it_takes(rng):
    found = [
        distances.henze_zirkler(law((6, 9))) for law in (rng.standard_normal, lambda size: rng.exponential(size=size))
    ]
    for each in found:
        assert (each.rank, each.p_value) == (5, None)
        assert "needs at least 10 tokens" in each.note
        assert "simplex" in each.note
    assert found[0].statistic == pytest.approx(found[1].statistic, rel=1e-12)  # a simplex, whatever the law


def test_a_kernel_that_sees_nothing_has_no_p_value(rng):
    points = rng.exponential(size=(400, 200))
    narrow = distances.henze_zirkler(points)
    assert narrow.p_value is None
    assert "`bandwidth`" in narrow.note
    assert distances.henze_zirkler(points[:, :2], bandwidth=1e4).p_value is None
    assert distances.henze_zirkler(points, bandwidth=np.sqrt(200)).p_value < 1e-6


def test_equal_tokens_have_rank_zero():
    found = distances.henze_zirkler(np.ones((5, 2)))
    assert (found.statistic, found.p_value, found.rank) == (0.0, None, 0)
    assert "all tokens are equal" in found.note


def test_bad_input_is_refused(rng):
    with pytest.raises(BadInput, match="`tokens` must hold at least two tokens"):
        distances.henze_zirkler(np.ones((1, 3)))
    with pytest.raises(BadInput, match="`bandwidth` must be positive"):
        distances.henze_zirkler(rng.standard_normal((9, 2)), bandwidth=0.0)
    with pytest.raises(BadInput, match="a JAX tracer was found"):
        jax.jit(lambda x: distances.henze_zirkler(x).statistic)(np.ones((4, 2)))
