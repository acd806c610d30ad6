"""`compare`: tokens beside the Gaussian flow."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import attnflow as af


@pytest.fixture(scope="module")
def mild():
    """Small logits: the limit is good."""
    rng = np.random.default_rng(5)
    B, V = 0.3 * rng.standard_normal((2, 2, 2))
    model = af.Transformer(af.SoftmaxAttention(B=B, V=V), af.Affine(A=[[-0.2, 0.5], [-0.4, 0.1]]))
    return model, af.Gaussian.from_moments([0.5, -0.3], [[0.6, 0.2], [0.2, 0.4]])


@pytest.fixture(scope="module")
def comparison(mild):
    return af.compare(*mild, n=[100, 400, 1600], seed=3, repeats=4)


def test_where_the_limit_is_good_errors_are_those_of_sampling(comparison):
    for name in ("mean", "cov", "sliced"):
        ratio = comparison.errors[name] / comparison.floors[name]
        assert 0.3 < ratio.max() < 2.0, name
    assert comparison.rates["mean"] == pytest.approx(-0.5, abs=0.25)
    assert comparison.rates["cov"] == pytest.approx(-0.5, abs=0.25)


def test_the_errors_are_those_of_a_run_by_hand(mild, comparison):
    import jax

    model, start = mild
    with jax.enable_x64(True):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 400), 2)
        points = np.asarray(start.sample(400, key=key))
    tokens = af.simulate(model, af.Tokens(points), ts=comparison.ts, rtol=1e-10)
    limit = af.simulate(model, start, ts=comparison.ts, rtol=1e-10)
    found = comparison.measured[400][2]
    mean = np.linalg.norm(tokens.mean - limit.mean, axis=1) / np.sqrt(np.trace(limit.cov, axis1=1, axis2=2))
    cov = np.linalg.norm(tokens.cov - limit.cov, axis=(1, 2)) / np.linalg.norm(limit.cov, axis=(1, 2))
    np.testing.assert_allclose(found.mean, mean, rtol=1e-3)
    np.testing.assert_allclose(found.cov, cov, rtol=1e-3)


def test_the_verdict_names_each_number_of_tokens_and_the_rates(comparison):
    lines = comparison.verdict.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["n = 100", "n = 400", "n = 1600"]
    assert "can be trusted up to t = 1:" in lines[2]
    assert "errors fall as n^" in lines[3]


def test_the_same_seed_gives_the_same_comparison(mild):
    one, two, other = (af.compare(*mild, n=[60], seed=s, repeats=2, ts=[0.0, 0.5]) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.errors["cov"], two.errors["cov"])
    assert not np.allclose(one.errors["cov"], other.errors["cov"])


def test_tokens_do_not_follow_a_blow_up_of_the_limit():
    start = af.Gaussian.from_moments([0.0], [[0.5]])
    found = af.compare(af.SoftmaxAttention(B=1.0, V=1.0), start, n=[400], ts=[0.0, 0.3, 0.9, 1.2], repeats=2)
    assert found.run.status == "blow_up"
    assert found.run.blow_up.estimate == pytest.approx(1.0)
    assert [sample.status for sample in found.measured[400]] == ["reached_end", "reached_end"]
    assert found.errors["cov"][0, -1] > 0.3
    assert "finitely many tokens do not follow it" in found.verdict


def test_tokens_follow_a_blow_up_of_linear_attention():
    start = af.Gaussian.from_moments([0.0], [[0.5]])
    found = af.compare(af.LinearAttention(B=1.0, V=1.0), start, n=[400], ts=[0.0, 0.3, 2.0], repeats=2)
    assert all(sample.status == "blow_up" for sample in found.measured[400])
    assert "the tokens do, too" in found.verdict


def test_a_mask_is_left_out_on_the_side_of_the_gaussian(mild):
    model, start = mild
    masked = af.Transformer(af.MaskedAttention(model.attention[0]), model.feedforward)
    found = af.compare(masked, start, n=[800], repeats=2)
    limit = af.simulate(model, start, ts=found.ts, rtol=1e-6)
    np.testing.assert_allclose(found.run.cov, limit.cov)
    assert found.errors["cov"].max() < 0.15


def test_residual_layers_can_be_compared(mild):
    found = af.compare(*mild, n=[300], layers=3, step=0.25, repeats=2)
    np.testing.assert_allclose(found.ts, [0.0, 0.25, 0.5, 0.75])
    assert found.run.engine == "residual_layers"


def test_a_projected_limit_is_called_so(mild):
    _, start = mild
    found = af.compare(af.SigmoidAttention(B=[[1.0, 0.3], [0.0, 0.5]], V=-0.5), start, n=[200], repeats=1)
    assert not found.run.exact
    assert "projection (moment closure)" in found.verdict


def test_an_interrupt_keeps_the_finished_samples(mild):
    calls = []

    def stop(share):
        calls.append(share)
        if len(calls) == 3:
            raise KeyboardInterrupt

    found = af.compare(*mild, n=[50, 100], repeats=2, progress=stop)
    assert [len(found.measured[count]) for count in (50, 100)] == [2, 1]
    assert found.n.tolist() == [50, 100]
    assert "n = 100" in found.verdict


def test_it_is_drawn_saved_and_listed(comparison, tmp_path):
    assert isinstance(comparison.plot(), Figure)
    comparison.save(tmp_path / "errors.nc")
    with xr.open_dataset(tmp_path / "errors.nc", engine="h5netcdf") as dataset:
        assert dataset["cov_error"].dims == ("n", "time")
        np.testing.assert_array_equal(dataset["n"], [100, 400, 1600])
        assert json.loads(dataset.attrs["verdict"]) == comparison.verdict
    listed = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert listed["trusted_until"]["1600"] == 1.0
    assert "n = 400" in repr(comparison)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": []}, "`n` must hold at least one number of tokens"),
        ({"n": [100, 50]}, "`n` must increase"),
        ({"n": [1]}, "`n` must increase from at least 2"),
        ({"n": [10.5]}, "`n` must be a whole number"),
        ({"repeats": 0}, "`repeats` must be positive"),
        ({"tolerance": -1.0}, "`tolerance` must be positive"),
        ({"start": af.Tokens(np.zeros((4, 2)))}, "`start` must be a Gaussian, from which tokens are drawn"),
    ],
)
def test_bad_input_is_named_before_any_computation(mild, change, words):
    given = {"model": mild[0], "start": mild[1], "n": [100]} | change
    with pytest.raises(af.BadInput, match=words):
        af.compare(**given)
