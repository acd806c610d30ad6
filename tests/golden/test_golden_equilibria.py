"""The golden equilibria: exact or from high precision, for V = eta I, for d = 2 and for d = 4."""

from __future__ import annotations

import numpy as np
import pytest

from attnflow.asymptotics.equilibria.newton import polish
from attnflow.asymptotics.equilibria.riccati import stabilising
from attnflow.asymptotics.equilibria.search import find
from attnflow.asymptotics.system import System
from golden import load


def cases(kind: str, *files: str):
    return [pytest.param(case, id=case["name"]) for case in load(kind, files=files)]


def system_of_case(case: dict) -> System:
    A, V, B = (np.array(case["inputs"][name], float) for name in "AVB")
    return System(A, V[None], B[None], np.zeros(len(A)), np.zeros((1, len(A))))


def off(value, expected) -> float:
    return float(np.linalg.norm(np.asarray(value) - np.asarray(expected)))


@pytest.mark.parametrize("case", cases("equilibrium", "gaussian.json"))
def test_newton_reaches_the_golden_equilibrium_with_its_spectra(case):
    expected, rtol = case["expected"], case["rtol"]
    found = polish(system_of_case(case), np.array(case["inputs"]["Sigma_guess"]))
    cov = np.array(expected["Sigma_inf"])
    assert off(found.cov, cov) <= rtol * np.linalg.norm(cov)
    assert off(found.cov, cov) <= found.error_bound + 1e-15 * np.linalg.norm(cov)  # the golden value is rounded too
    assert found.positive_definite
    assert found.abscissa == pytest.approx(expected["jac_abscissa"], rel=1e-9)
    assert found.stable is (expected["jac_abscissa"] < 0)
    if "mean_abscissa" in expected:
        assert found.mean_abscissa == pytest.approx(expected["mean_abscissa"], rel=1e-9)
        assert found.mean_stable is (expected["mean_abscissa"] < 0)


@pytest.mark.parametrize("case", cases("equilibrium", "gaussian.json"))
def test_the_search_needs_no_guess_for_the_golden_equilibrium(case):
    cov = np.array(case["expected"]["Sigma_inf"])
    found = find(system_of_case(case))
    assert any(off(each.cov, cov) <= case["rtol"] * np.linalg.norm(cov) for each in found.equilibria)


@pytest.mark.parametrize("case", cases("equilibria_d2", "gaussian.json"))
def test_the_planar_list_is_the_golden_one(case):
    expected, found = case["expected"], find(system_of_case(case))
    assert found.complete
    definite = [each for each in found.equilibria if each.rank == 2]
    assert len(definite) == expected.get("n_PD", len(expected.get("PD", [])))
    for cov, stable, abscissa in zip(
        expected.get("PD", []), expected.get("stable", []), expected.get("spectral_abscissa", []), strict=True
    ):
        each = min(definite, key=lambda each, cov=cov: off(each.cov, cov))
        assert off(each.cov, cov) <= case["rtol"] * np.linalg.norm(cov)
        assert each.stable is stable
        assert each.abscissa == pytest.approx(abscissa, rel=1e-8)
    if "rank_one" in expected:
        thin = [each for each in found.equilibria if each.rank == 1]
        assert len(thin) == len(expected["rank_one"])
        for cov in expected["rank_one"]:
            assert min(off(each.cov, cov) for each in thin) <= case["rtol"] * np.linalg.norm(cov)
        stable = next(each for each in thin if each.stable)
        assert sorted(stable.spectrum.real) == pytest.approx(expected["jac_eigs_rank_one_0"], rel=1e-8)


@pytest.mark.parametrize("case", cases("sigma_limit", "gaussian.json"))
def test_the_stabilising_solution_is_the_golden_limit(case):
    system, expected = system_of_case(case), np.array(case["expected"]["Sigma_inf"])
    found = stabilising(system.A, system.S)
    assert found.rank == case["expected"]["rank"]
    assert off(found.cov, expected) <= case["rtol"] * np.linalg.norm(expected)
