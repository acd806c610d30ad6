"""The targets of the second paper on fewer starts, against SciPy on the plain equations and closed forms."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.integrate
import xarray as xr
from PIL import Image

from attnflow.flow.outcome import Status
from attnflow.reproduce.castin2025 import (
    both,
    divergence,
    histograms,
    kinds,
    mixed,
    plain,
    starts,
    weights,
    zero,
)
from attnflow.reproduce.castin2025.kernel_basis import in_kernel_basis
from attnflow.reproduce.castin2025.runs import flows, time_of_trace
from attnflow.reproduce.registry import find, run


def failed(checks) -> list[str]:
    return [check.name for check in checks if not check.ok]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    return tmp_path_factory.mktemp("castin2025")


@pytest.fixture(scope="module")
def line_result(folder):
    whole = starts.unit_trace

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starts, "unit_trace", lambda n, half_width: whole(3, half_width))
        return run(find("castin2025/line"), folder)


def test_the_line_and_the_plane_are_reached(line_result):
    assert not failed(line_result.checks)


def test_picture_data_and_checks_are_written(line_result, folder):
    with Image.open(folder / "line.png") as image:
        assert image.width > 1000
    with xr.open_dataset(folder / "line.nc") as dataset:
        assert list(dataset.attention.values) == ["softmax", "l2", "two_heads"]
        assert dataset.cov.dims == ("attention", "start", "step", "coord", "coord_")
        assert dataset.sizes["start"] == 9
        np.testing.assert_allclose(dataset.cov[0, :, -1], dataset.limit[0], atol=1e-7)
    report = json.loads((folder / "line.json").read_text())
    assert report["target"] == "castin2025/line"
    assert report["notes"]
    assert len(report["checks"]) == len(line_result.checks)


@pytest.fixture(scope="module")
def vanishing():
    ts = np.concatenate([[0.0], np.geomspace(1e-2, 1e8, 51)])
    drawn = weights.to_zero()
    return drawn, flows(kinds.softmax(drawn), starts.unit_trace(3, 0.5), ts)


def test_vanishing_covariances_have_one_tail(vanishing):
    drawn, found = vanishing
    assert not failed(zero.kind_checks("softmax", found, drawn))


def test_a_wrong_published_size_is_noticed(vanishing, monkeypatch):
    drawn, found = vanishing
    monkeypatch.setattr(zero, "PUBLISHED", {"softmax": 0.0120})
    assert failed(zero.kind_checks("softmax", found, drawn)) == [
        "softmax: size on the tail where the rate is 1e-5, as published"
    ]


def test_the_heads_of_a_small_covariance_are_those_of_its_rate():
    drawn, cov = weights.to_zero(), 1e-4 * np.array([[0.7, 0.2], [0.2, 0.3]])
    for kind in zero.TITLES:
        heads = zero.small_covariance_heads(kind, drawn)
        wanted = sum(V @ cov @ B @ cov for V, B in heads)
        np.testing.assert_allclose(plain.RATES[kind](drawn)(cov), wanted + wanted.T, rtol=1e-2)


def test_indefinite_weights_lead_to_two_lines():
    drawn = weights.mixed()
    ts = np.concatenate([[0.0], np.geomspace(1e-2, mixed.LAST, 61)])
    found = flows(kinds.softmax(drawn), starts.unit_trace(6, 1.0), ts)
    assert not failed(mixed.kind_checks("softmax", found, drawn))
    assert set(mixed.line_of(found.cov[:, -1], drawn)) == {0, 1}


def test_the_outcome_depends_on_the_start_as_scipy_finds():
    drawn = weights.both()
    begin = starts.unit_trace(30, 1.0)[[0, 60, 300, 500, 640]]
    found = flows(kinds.softmax(drawn), begin, both.TIMES)
    rate = plain.softmax(drawn)

    def large(t: float, y: np.ndarray) -> float:
        return y[0] + y[3] - 1e6

    large.terminal = True  # type: ignore[attr-defined]
    blown = []
    for cov in begin:
        other = scipy.integrate.solve_ivp(
            lambda t, y: rate(y.reshape(2, 2)).ravel(), (0.0, 60.0), cov.ravel(), "DOP853", events=large, rtol=1e-10
        )
        blown.append(other.status == 1)
    assert [status == Status.BLOW_UP for status in found.status] == blown
    assert blown == [True, True, False, False, False]


def test_one_head_of_the_published_multi_head_run_is_softmax():
    assert both.one_head_is_softmax(weights.both(), starts.unit_trace(3, 0.5)).ok


def test_definite_forms_blow_up_under_softmax():
    drawn, begin = weights.expanding(), starts.unit_trace(40, 1.0)[::300]
    for kind in divergence.BLOWING:
        found = flows(getattr(kinds, kind)(drawn), begin, divergence.TIMES[kind], divergence.RTOL[kind])
        assert not failed(divergence.blow_up_checks(kind, found, drawn))
        ends = divergence.normalised_ends(kind, found, drawn)
        np.testing.assert_allclose(np.linalg.eigvalsh(ends), [[0.0, 1.0]] * len(ends), atol=1e-12)


def test_l2_attention_only_grows():
    drawn, begin = weights.expanding(), starts.unit_trace(40, 1.0)[::300]
    found = flows(kinds.l2(drawn), begin, divergence.TIMES["l2"], divergence.RTOL["l2"])
    assert not failed(divergence.growth_checks("l2", found, drawn))


def test_the_time_of_a_trace_is_interpolated():
    ts = np.linspace(0.0, 4.0, 9)
    grows = np.exp(1.3 * ts)[:, None, None] * np.array([[0.6, 0.1], [0.1, 0.4]])
    covs = np.array([grows, 2.0 * grows])
    np.testing.assert_allclose(time_of_trace(ts, covs, 9.0), [np.log(9.0) / 1.3, np.log(4.5) / 1.3])
    assert np.isnan(time_of_trace(ts, covs, 1e9)).all()


@pytest.mark.parametrize(("row", "d"), [("softmax, V random", 3), ("L2, V random", 3), ("softmax, V = I", 5)])
def test_the_ranks_are_exact_and_decided(row, d):
    kind, seed = histograms.PANELS[row]
    turned = [*map(in_kernel_basis, weights.for_ranks(d, seed, 8), starts.wishart(d, 8))]
    found = histograms.limits_of(kind, turned)
    assert not failed(histograms.rank_checks(row, found, [sample for sample, _ in turned]))


def test_the_limit_of_a_random_value_matrix_is_where_scipy_ends():
    sample, start = weights.for_ranks(3, 26, 1)[0], starts.wishart(3, 1)[0]
    found = histograms.limits_of(kinds.softmax, [in_kernel_basis(sample, start)] * 2)
    rate = plain.softmax(sample)
    other = scipy.integrate.solve_ivp(
        lambda t, y: rate(y.reshape(3, 3)).ravel(), (0.0, 1e6), start.ravel(), "Radau", rtol=1e-9, atol=1e-12
    )
    values = np.linalg.eigvalsh(other.y[:, -1].reshape(3, 3))
    np.testing.assert_allclose(found.eigenvalues[0, 1:], values[1:], rtol=1e-4)


def test_a_lost_direction_is_noticed():
    kind, seed = histograms.PANELS["softmax, V = I"]
    turned = [*map(in_kernel_basis, weights.for_ranks(4, seed, 3), starts.wishart(4, 3))]
    found = histograms.limits_of(kind, turned)
    found.rank[1] -= 1
    found.end[2] *= 1.0 + 1e-6
    names = failed(histograms.rank_checks("cut", found, [sample for sample, _ in turned]))
    assert names == ["cut: samples of rank 2", "cut: largest drift of N^T cov^-1 N"]
