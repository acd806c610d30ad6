"""Until which depth the Gaussian flow is trusted: bounds against exact flows, measurements against many tokens."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ndtr, ndtri

import attnflow as af
from attnflow.doors.trusted_depth import trusted_depth
from attnflow.measures.distances import sampling_floor
from attnflow.moments.relu import ReLU
from attnflow.transformer.feedforward import FeedForward

A3 = np.array([[0.4, -1.1, 0.3], [0.9, 0.2, -0.5], [0.1, 0.7, -0.6]])
B3 = np.array([0.2, -0.4, 0.1])
START = af.Gaussian.from_moments([0.3, -0.2, 0.5], [[0.9, 0.2, 0.0], [0.2, 0.6, -0.1], [0.0, -0.1, 0.4]])


def relu_layer(V=None, A=A3, b=B3):
    heads = None if V is None else af.SoftmaxAttention(B=0.0, V=V)
    return af.Transformer(attention=heads, feedforward=FeedForward(A=A, b=b, activation=ReLU()))


def exact_on_the_line(a, b, v, mean, dev, ts):
    """W_2 of x' = relu(a x + b) + v E x to its closure, both by SciPy: quantiles on panels, moments by Phi and phi."""
    x, w = np.polynomial.legendre.leggauss(12)
    edges = np.union1d(np.linspace(-9, 9, 73), np.clip((-b / a - mean) / dev, -9, 9))
    half, mid = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    z = (mid + half * x).ravel()
    weight = (half * w).ravel() * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    def field(t, points):
        return np.maximum(a * points + b, 0.0) + v * (weight @ points)

    def closure(t, state):
        m, s = a * state[0] + b, abs(a) * state[1]
        phi, share = np.exp(-((m / s) ** 2) / 2) / np.sqrt(2 * np.pi), ndtr(m / s)
        return [m * share + s * phi + v * state[0], a * share * state[1]]

    options = {"t_eval": ts, "rtol": 1e-10, "atol": 1e-12}
    places = solve_ivp(field, (0, ts[-1]), mean + dev * z, **options).y
    moments = solve_ivp(closure, (0, ts[-1]), [mean, dev], **options).y
    apart = places - moments[0] - moments[1] * z[:, None]
    return np.sqrt(weight @ np.square(apart)), moments[1]


@pytest.mark.parametrize(("a", "b", "v"), [(-1.2, 0.3, -0.7), (0.8, -0.4, 0.6)], ids=["negative", "positive"])
def test_the_bound_lies_above_the_exact_distance_on_the_line_and_meets_it_at_the_start(a, b, v):
    model = relu_layer([[v]], A=[[a]], b=[b])
    start = af.Gaussian.from_moments([0.3], [[0.81]])
    found = trusted_depth(model, start, t1=1.5, tolerance=0.2)
    exact, deviation = exact_on_the_line(a, b, v, 0.3, 0.9, found.ts)
    assert found.basis == "theorem"
    assert found.spread == pytest.approx(deviation, rel=1e-6)
    assert np.all(found.bound >= exact - 1e-9)
    assert found.bound[1] / exact[1] < 1.2
    # until is where the bound, not the distance, meets the tolerance, to an eighth of a panel
    crossing = np.interp(0.2, found.bound / found.spread, found.ts)
    assert crossing - 0.1 / 8 <= found.until <= crossing + 1e-3 or found.until == 1.5
    early = trusted_depth(model, start, t1=1e-3)
    exact, _ = exact_on_the_line(a, b, v, 0.3, 0.9, early.ts)
    assert early.bound[-1] / exact[-1] == pytest.approx(1.0, abs=3e-3)


def test_the_bound_lies_above_what_many_tokens_show_in_three_dimensions():
    model = relu_layer(-0.5)
    found = trusted_depth(model, START, t1=1.0, tolerance=0.05)
    assert 0 < found.until < 1.0
    rng = np.random.default_rng(0)
    x = np.asarray(START.mean) + rng.standard_normal((200_000, 3)) @ np.asarray(START.factor).T
    for _ in range(200):  # Heun, whose error is far below the distances here
        k = np.maximum(x @ A3.T + B3, 0.0) - 0.5 * x.mean(axis=0)
        y = x + k / 200
        x = x + (k + np.maximum(y @ A3.T + B3, 0.0) - 0.5 * y.mean(axis=0)) / 400
    last = found.run.at(1.0)
    lower = np.linalg.norm(x.mean(axis=0) - last.mean)
    for axis in np.eye(3):  # the distance of any projection is below W_2
        seen, order = np.sort(x @ axis), (np.arange(200_000) + 0.5) / 200_000
        normal = axis @ last.mean + np.linalg.norm(last.factor.T @ axis) * ndtri(order)
        lower = max(lower, float(np.sqrt(np.mean(np.square(seen - normal)))))
    assert 0.01 < lower <= found.bound[-1]


def test_an_affine_model_is_trusted_for_ever_and_to_its_blow_up():
    softmax = af.Transformer(attention=af.SoftmaxAttention(B=0.3 * A3, V=-0.5), feedforward=af.Affine(A=-np.eye(3)))
    found = trusted_depth(softmax, START)
    assert found.until == math.inf
    assert found.basis == "theorem"
    assert "Proposition 2.1" in str(found)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["until"] == "inf"
    blows = trusted_depth(af.SoftmaxAttention(B=2.0, V=1.0), af.Gaussian.from_moments([0.0], [[0.5]]), t1=3.0)
    assert blows.until == pytest.approx(0.5, rel=1e-6)  # cov' = 4 cov^2
    assert blows.until <= 0.5


def test_softmax_beside_relu_is_measured_by_a_coupling_without_a_floor():
    model = af.Transformer(
        attention=af.SoftmaxAttention(B=0.2, V=-0.5), feedforward=FeedForward(A=A3, b=B3, activation=ReLU())
    )
    found = trusted_depth(model, START, repeats=1, tolerance=0.1)
    assert found.basis == "numerical"
    assert found.bound is None
    assert found.measured[0] < 1e-12
    assert np.all(np.diff(found.measured) > 0)
    assert 0 < found.until < 1
    assert "SoftmaxAttention depend on the tokens" in found.reason
    # with nothing that depends on the tokens the measurement and the bound agree on what comes first
    proved = trusted_depth(relu_layer(-0.5), START)
    assert proved.bound[1] / proved.spread[1] == pytest.approx(found.measured[1], rel=0.25)


def test_n_tokens_count_with_their_sampling():
    found = trusted_depth(relu_layer(), START, n=400, repeats=2, tolerance=0.15, t1=0.5)
    assert found.basis == "numerical"
    assert found.bound is not None
    assert found.comparison.n.tolist() == [400]
    assert found.measured[0] == pytest.approx(sampling_floor(400), rel=0.5)
    assert found.until == 0.5
    few = trusted_depth(relu_layer(), START, n=400, repeats=1, tolerance=0.02, t1=0.5)
    assert few.until is None
    assert "already at the start" in few.reason
    assert json.loads(json.dumps(few.to_dict(), allow_nan=False))["until"] is None


def test_a_point_stays_a_point_under_every_model():
    model = af.Transformer(
        attention=af.SoftmaxAttention(B=0.2, V=-0.5), feedforward=FeedForward(A=A3, b=B3, activation=ReLU())
    )
    found = trusted_depth(model, af.Gaussian.from_factor(np.ones(3), np.zeros((3, 0))))
    assert found.until == math.inf
    assert "One point" in str(found.statement)


def test_layers_over_depth_add_up_where_they_jump():
    calm = af.Affine(A=0.1 * A3)
    active = FeedForward(A=A3, b=B3, activation=ReLU())
    found = trusted_depth(af.Depth.piecewise([calm, active], [0.0, 0.53]), START, t1=1.0)
    before = found.ts <= 0.53
    assert 0.53 in found.ts
    assert np.all(found.bound[before] == 0)
    # just behind the jump the bound grows by what least squares over many points leaves of the ReLU
    there, step = found.run.at(0.53), int(np.flatnonzero(found.ts == 0.53)[0])
    rng = np.random.default_rng(5)
    x = there.mean + rng.standard_normal((100_000, 3)) @ np.asarray(there.factor).T
    design = np.hstack([x, np.ones((len(x), 1))])
    values = np.maximum(x @ A3.T + B3, 0.0)
    rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    slope = found.bound[step + 1] / (found.ts[step + 1] - 0.53)
    assert slope == pytest.approx(np.sqrt(np.mean(np.sum(rest**2, axis=1))), rel=0.03)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 1}, "`n` must be at least 2"),
        ({"n": 10.5}, "`n` must be a whole number"),
        ({"t1": -1.0}, "`t1`"),
        ({"tolerance": 0.0}, "`tolerance`"),
        ({"start": af.Tokens(np.ones((4, 3)))}, "`start` must be a Gaussian"),
        ({"start": af.Gaussian.from_moments([0.0], [[1.0]])}, "share one dimension"),
    ],
)
def test_bad_input_is_named(change, words):
    arguments = {"start": START} | change
    with pytest.raises(af.BadInput, match=words):
        trusted_depth(relu_layer(), **arguments)
