"""Figure 1 of Alcalde, Ji and Zuazua (2026), and the formulas that its problem is built with."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.integrate
import xarray as xr
from PIL import Image

from attnflow.reproduce.alcalde2026 import fig1
from attnflow.reproduce.alcalde2026 import fig1_numbers as numbers
from attnflow.reproduce.registry import TARGETS, find, run
from golden import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    return tmp_path_factory.mktemp("fig1") / "made" / "here"


@pytest.fixture(scope="module")
def result(folder):
    return run(find("alcalde2026/fig1"), folder)


def test_every_check_agrees(result):
    assert not [check for check in result.checks if not check.ok]


def test_both_matrices_and_all_regimes_are_checked(result):
    names = [check.name for check in result.checks]
    for matrix in ("figure", "variant"):
        for regime in ("A_plus", "A_minus", "A_mixed"):
            for what in ("bias b", "limit of the covariance", "covariance at T", "mean at T"):
                assert f"{matrix}, {regime}: {what}" in names
    assert sum("replayed" in name for name in names) == 6


def test_the_figure_has_a_column_for_each_regime(result, folder):
    with Image.open(folder / "fig1.png") as image:
        assert image.width > 1000


def test_the_data_hold_each_regime_with_its_problem_and_provenance(result, folder):
    with xr.open_dataset(folder / "fig1.nc") as dataset:
        assert list(dataset.regime.values) == ["A_plus", "A_minus", "A_mixed"]
        assert dataset.cov.dims == ("regime", "time", "coord", "coord_")
        mixed = dataset.sel(regime="A_mixed").isel(time=-1)
        np.testing.assert_allclose(mixed.cov, numbers.AT_END["figure", "A_mixed"], rtol=1e-10)
        assert int(mixed.numerical_rank) == 1
        problems = json.loads(dataset.attrs["regimes"])
        assert problems["A_minus"]["model"]["feedforward"]["A"] == [[-0.5, 1.0], [0.0, -0.25]]
        assert problems["A_plus"]["model"]["attention"][0]["V"] == -1.0
        assert "jax" in problems["A_plus"]["provenance"]
        assert len(json.loads(dataset.attrs["checks"])) == len(result.checks)


def test_the_table_of_checks_is_written(result, folder):
    report = json.loads((folder / "fig1.json").read_text())
    assert report["target"] == "alcalde2026/fig1"
    assert all(check["ok"] for check in report["checks"])
    assert {"name", "value", "reference", "error", "tolerance", "ok"} <= set(report["checks"][0])


def test_a_wrong_reference_is_noticed(monkeypatch):
    wrong = {**numbers.BIAS, ("variant", "A_minus"): (-0.5, 2.5 + 1e-8)}
    monkeypatch.setattr(numbers, "BIAS", wrong)
    run_ = fig1.simulate_regime("variant", "A_minus")
    failed = [check.name for check in fig1.regime_checks("variant", "A_minus", run_) if not check.ok]
    assert failed == ["variant, A_minus: bias b"]


def test_the_references_agree_with_the_golden_cases():
    cases = {case["name"].removeprefix("fig1_"): case for case in load("figure1", files=("gaussian.json",))}
    assert set(cases) == {"A_plus", "A_minus"}
    for regime, case in cases.items():
        assert case["inputs"]["A"] == [list(row) for row in numbers.A[regime]]
        assert case["inputs"]["B"] == [list(row) for row in numbers.B["figure"]]
        np.testing.assert_allclose(numbers.BIAS["figure", regime], case["expected"]["b"], rtol=1e-15)
        np.testing.assert_allclose(numbers.LIMIT["figure", regime], case["expected"]["Sigma_inf"], rtol=1e-15)
        np.testing.assert_allclose(numbers.AT_END["figure", regime], case["expected"]["Sigma_T"], rtol=1e-15)


def test_the_references_for_one_unstable_direction_follow_from_its_eigenvector_in_radicals():
    for matrix in ("figure", "variant"):
        root = np.sqrt(5.0) / 4.0
        v = np.array([0.25, root - 0.5]) / np.hypot(0.25, root - 0.5)
        limit = 2 * root * np.outer(v, v) / (2 * v @ np.array(numbers.B[matrix]) @ v)
        np.testing.assert_allclose(numbers.LIMIT[matrix, "A_mixed"], limit, rtol=1e-13)


def random_problem(rng: np.random.Generator, unstable: int, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A with `unstable` eigenvalues of positive real part, and S = -(B + B^T) negative definite, not diagonal."""
    blocks = np.triu(rng.normal(size=(d, d)), 1)
    np.fill_diagonal(blocks, np.where(np.arange(d) < unstable, 1.0, -1.0) * rng.uniform(0.4, 1.5, d))
    basis = rng.normal(size=(d, d)) + 2 * np.eye(d)
    root = rng.normal(size=(d, d))
    return np.linalg.solve(basis, blocks @ basis), -(root @ root.T + 0.1 * np.eye(d))


@pytest.mark.parametrize("unstable", [0, 1, 3, 5])
def test_the_limit_is_an_equilibrium_of_the_rank_that_the_theorem_says(rng, unstable):
    A, S = random_problem(rng, unstable)
    limit = fig1.limit_covariance(A, S)
    half = 0.5 * S  # eta B up to its skew part, which does not matter here
    residual = A @ limit + limit @ A.T + limit @ half @ limit + limit @ half.T @ limit
    assert np.linalg.norm(residual) <= 1e-11 * max(np.linalg.norm(limit), 1.0)
    assert np.linalg.matrix_rank(limit, tol=1e-9) == unstable


def test_the_limit_is_where_the_flow_ends(rng):
    A, S = random_problem(rng, 2, d=3)

    def rate(t: float, y: np.ndarray) -> np.ndarray:
        cov = y.reshape(3, 3)
        return (A @ cov + cov @ A.T + cov @ S @ cov).ravel()

    end = scipy.integrate.solve_ivp(rate, (0.0, 60.0), np.eye(3).ravel(), "LSODA", rtol=1e-10, atol=1e-13).y[:, -1]
    np.testing.assert_allclose(fig1.limit_covariance(A, S), end.reshape(3, 3), atol=1e-6)


def test_the_bias_makes_the_target_an_equilibrium_of_the_mean(rng):
    A, B, limit, target = rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
    b = fig1.matching_bias(A, B, -0.7, limit, target)
    # the velocity A x + eta (mean + cov B x) + b of the mean itself
    np.testing.assert_allclose(A @ target - 0.7 * (target + limit @ (B @ target)) + b, 0.0, atol=1e-14)


def test_every_target_can_be_imported_and_names_its_files():
    import importlib

    for target in TARGETS:
        module = importlib.import_module(target.module)
        assert callable(module.reproduce)
        assert module.FILES
