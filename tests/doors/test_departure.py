"""`departure`: exact on the line, enclosed above, against the bound and against flows that are known in closed form."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import attnflow as af
from attnflow.doors.departure import departure
from attnflow.moments.by_quadrature import Tanh
from attnflow.moments.relu import ReLU
from attnflow.transformer.feedforward import FeedForward

TURN = FeedForward([[0.0, 1.0], [-1.0, 0.0]], activation=ReLU())
ROUND = af.Gaussian.from_moments([0.0, 0.0], np.eye(2))
SMALL = [0.005, 0.01, 0.02]


def line_distance(a: float, b: float, mean: float, deviation: float, t: float) -> float:
    """W_2 at time t for x' = max(0, a x + b), a > 0, against x' = a x + b: both flows are known."""

    def square(z):
        x = mean + deviation * z
        linear = (x + b / a) * np.exp(a * t) - b / a
        return (max(linear, x) - linear) ** 2 * norm.pdf(z) if a * x + b < 0 else 0.0

    kink = (-b / a - mean) / deviation
    return float(np.sqrt(quad(square, -12, kink, epsabs=1e-14)[0]))


def test_on_the_line_the_distance_is_that_of_the_known_flows():
    layer = FeedForward([[0.8]], [0.3], activation=ReLU())
    found = departure(layer, af.Gaussian.from_moments([-0.2], [[1.44]]), [0.0, 0.3, 1.0])
    expected = [line_distance(0.8, 0.3, -0.2, 1.2, t) for t in (0.3, 1.0)]
    assert found.exact
    assert found.identity.upper[0] < 1e-15
    assert found.identity.upper[1:] == pytest.approx(expected, rel=1e-6)
    assert np.all(found.identity.lower[1:] <= found.identity.upper[1:])


def test_on_the_line_with_attention_the_limit_of_the_ratio_is_one():
    model = af.Transformer(
        attention=af.SoftmaxAttention(B=[[0.1]], V=[[-1.0]], query_bias=[0.2], value_bias=[0.1]),
        feedforward=FeedForward([[-1.0]], [-0.5], activation=ReLU()),
    )
    found = departure(model, af.Gaussian.from_moments([0.3], [[1.0]]), SMALL)
    assert found.initial_ratio == pytest.approx(1.0, abs=1e-5)
    assert found.ratio[0] == pytest.approx(1.0, abs=0.01)
    assert abs(found.ratio[2] - 1) > 3 * abs(found.ratio[0] - 1)


def test_the_rotation_is_enclosed_and_the_closure_is_nearer():
    found = departure(TURN, ROUND, SMALL, n=1000, repeats=2)
    slopes = found.identity.slopes()
    assert slopes["lower"] == pytest.approx(1 / np.sqrt(np.pi), rel=0.03)
    assert slopes["upper"] == pytest.approx(np.sqrt(0.5), rel=1e-3)
    assert slopes["lower"] < found.defect.slope < slopes["upper"] < found.cloud_bound
    assert found.cloud_bound == pytest.approx(found.defect.bound, rel=0.03)
    assert found.initial_ratio < 1
    assert found.closure.upper[-1] < found.identity.upper[-1]
    assert found.identity.spreads.shape == (3, 3)


def test_at_later_times_slices_and_moments_are_below_the_coupling():
    found = departure(TURN, ROUND, [0.5, 1.0], n=1000, repeats=2, seed=3)
    rows = found.identity
    assert np.all(rows.lower < rows.sliced * 1.02)
    assert np.all(rows.sliced < rows.upper)
    assert found.closure.lower[-1] < 0.2 * found.closure.upper[-1]  # the closure has nearly the right moments


def test_the_lower_end_agrees_with_moments_by_quadrature():
    """x' = max(0, a x + b) in each coordinate: mean and variance of the tokens by SciPy's quadrature."""
    layer = FeedForward([[0.8, 0.0], [0.0, 0.5]], [0.3, -0.2], activation=ReLU())
    start = af.Gaussian.from_moments([-0.2, 0.4], np.diag([1.44, 0.81]))
    found = departure(layer, start, [0.7], n=6000, repeats=2)
    square = 0.0
    for a, b, m, s in ((0.8, 0.3, -0.2, 1.2), (0.5, -0.2, 0.4, 0.9)):
        growth = np.exp(0.7 * a)

        def moved(z, a=a, b=b, m=m, s=s, growth=growth):
            x = m + s * z
            return (x + b / a) * growth - b / a if a * x + b > 0 else x

        kink = (-b / a - m) / s
        one, two = (
            sum(quad(lambda z, k=k: moved(z) ** k * norm.pdf(z), *side)[0] for side in ((-12, kink), (kink, 12)))
            for k in (1, 2)
        )
        square += (one - ((m + b / a) * growth - b / a)) ** 2 + (np.sqrt(two - one**2) - s * growth) ** 2
    assert found.identity.lower[0] == pytest.approx(np.sqrt(square), rel=0.05)


def test_heads_other_than_softmax_are_measured_by_clouds_even_on_the_line():
    model = af.Transformer(
        attention=af.L2Attention(Q=[[0.3]], K=[[0.4]], V=[[0.5]]), feedforward=FeedForward([[0.7]], activation=Tanh())
    )
    found = departure(model, af.Gaussian.from_moments([0.2], [[1.0]]), [0.05, 0.1], n=400, repeats=1)
    assert not found.exact
    assert found.defect.basis == "undetermined"
    assert found.identity.upper[0] == pytest.approx(0.05 * found.cloud_bound, rel=0.1)


def test_a_blow_up_of_the_gaussian_flow_ends_the_comparison_with_it():
    model = af.Transformer(
        attention=af.SoftmaxAttention(B=[[0.1]], V=[[2.0]]), feedforward=FeedForward([[1.0]], [0.0], activation=ReLU())
    )
    found = departure(model, af.Gaussian.from_moments([0.0], [[1.0]]), [0.2, 3.0])
    assert found.flows["identity"].status == "blow_up"
    assert found.ts.tolist() == [0.2]
    assert found.defect.time < found.flows["identity"].blow_up.lower


def test_an_affine_layer_stays(rng):
    found = departure(af.Affine([[0.3, 1.0], [-0.2, 0.1]]), ROUND, [0.5], n=100, repeats=1)
    assert found.identity.upper[0] < 1e-6
    assert found.initial_ratio is None
    assert found.verdict


def test_it_can_be_written_read_and_drawn(tmp_path):
    found = departure(TURN, ROUND, [0.0, 0.1, 0.2], n=1000, repeats=1)
    assert json.loads(json.dumps(found.to_dict()))["n"] == 1000
    found.save(tmp_path / "study.nc")
    import xarray as xr

    with xr.open_dataset(tmp_path / "study.nc", engine="h5netcdf") as dataset:
        assert dataset["identity_upper"].values == pytest.approx(found.identity.upper)
    left, right = found.plot().axes
    assert len(left.lines) >= 4
    assert right.get_ylim()[0] == 0.0
    assert "bound: 1" in repr(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 3}, "exceed the rank"),
        ({"n": 10.5}, "whole number"),
        ({"repeats": 0}, "positive"),
        ({"ts": [0.2, 0.1]}, "increasing"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(af.BadInput, match=message):
        departure(TURN, ROUND, **({"ts": [0.1]} | change))
