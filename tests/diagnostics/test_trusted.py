"""The parts of the stability bound: slopes, one-sided constants, what the closure leaves out, and its growth."""

from __future__ import annotations

import itertools

import jax
import mpmath
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.stats import norm

import attnflow as af
from attnflow.diagnostics import lipschitz
from attnflow.diagnostics.lipschitz import lipschitz_field, one_sided, slopes_of
from attnflow.diagnostics.trusted import closure_defect, grown, nodes_within, nonlinear_variance
from attnflow.moments.by_quadrature import SiLU, Tanh, TanhGELU
from attnflow.moments.error_function import GELU, Erf
from attnflow.moments.relu import ReLU
from attnflow.transformer.feedforward import FeedForward
from attnflow.transformer.mlp import MLP

ALL = [ReLU(), GELU(), TanhGELU(), SiLU(), Tanh(), Erf()]


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def random_layer(activation, units, rng, dim=3):
    W1, W2 = rng.normal(size=(units, dim)), rng.normal(size=(dim, units)) / units
    A = rng.normal(size=(dim, dim))
    mlp = MLP(W1, W2, activation, b1=rng.normal(size=units))
    return af.Transformer(attention=[mlp], feedforward=af.Affine(A=A)), A, W1, W2


def below(field, layer, rng):
    """The largest one-sided quotient of f over random pairs, near and far."""
    x = 4 * rng.normal(size=(20000, 3))
    y = x + rng.normal(size=x.shape) * 10.0 ** rng.uniform(-3, 1, size=(len(x), 1))
    fx, fy = (np.asarray(layer.velocity(p, p)) for p in (x, y))
    return float(np.max(np.sum((x - y) * (fx - fy), axis=1) / np.sum(np.square(x - y), axis=1)))


@pytest.mark.parametrize("activation", ALL, ids=lambda a: type(a).__name__)
def test_no_difference_quotient_leaves_the_slopes_and_the_extremes_are_reached(activation):
    low, high = slopes_of(activation)
    z = np.linspace(-12, 12, 240001)
    quotients = np.diff(np.asarray(activation(z))) / np.diff(z)
    assert low - 1e-9 <= quotients.min() < low + 1e-6
    assert high - 1e-6 < quotients.max() <= high + 1e-9


@pytest.mark.parametrize("units", [4, 12])
@pytest.mark.parametrize("activation", [ReLU(), GELU()], ids=lambda a: type(a).__name__)
def test_the_one_sided_constant_is_above_every_quotient_and_above_every_corner(activation, units):
    rng = np.random.default_rng(units)
    layer, A, W1, W2 = random_layer(activation, units, rng)
    found = one_sided(lipschitz_field(layer, 3))
    corners = [
        np.linalg.eigvalsh((J := A + W2 @ np.diag(theta) @ W1) + J.T)[-1] / 2
        for theta in itertools.product(slopes_of(activation), repeat=units)
    ]
    assert below(None, layer, rng) <= found
    if units <= lipschitz.MOST_UNITS:
        assert found == pytest.approx(max(corners), rel=1e-12)
    else:
        assert max(corners) <= found <= max(corners) + 0.2 * np.linalg.norm(W1, 2) * np.linalg.norm(W2, 2)


@pytest.mark.parametrize("weight", [0.6, -0.6])
def test_coupled_clouds_part_no_faster_than_the_growth_and_some_reach_it(weight):
    """A plain average moves the mean of the difference alone: a translation feels it, a centred difference does not."""
    rng = np.random.default_rng(4)
    A = np.array([[-1.0, 0.7], [-0.7, -1.0]])
    layer = af.Transformer(attention=af.SoftmaxAttention(B=0.0, V=weight * np.eye(2)), feedforward=af.Affine(A=A))
    growth, quotients = lipschitz_field(layer, 2).growth, []
    for share in np.linspace(0, 1, 11):
        x = rng.normal(size=(30, 2))
        apart = rng.normal(size=(30, 2))
        apart += (share - 1) * apart.mean(axis=0) + share * 5
        moved = np.asarray(layer.velocity(x + apart, x + apart)) - np.asarray(layer.velocity(x, x))
        quotients.append(np.sum(apart * moved) / np.sum(apart**2))
    assert max(quotients) <= growth + 1e-12
    assert max(quotients) == pytest.approx(growth, abs=0.05)


def test_units_that_lead_nowhere_are_left_out():
    rng = np.random.default_rng(1)
    A, W1, W2 = rng.normal(size=(3, 3)), rng.normal(size=(2, 3)), np.zeros((3, 2))
    layer = af.Transformer(attention=[MLP(W1, W2, ReLU())], feedforward=af.Affine(A=A))
    assert one_sided(lipschitz_field(layer, 3)) == pytest.approx(np.linalg.eigvalsh(A + A.T)[-1] / 2)


@pytest.mark.parametrize("activation", [GELU(), Tanh(), SiLU()], ids=lambda a: type(a).__name__)
def test_what_the_closure_leaves_out_agrees_with_tensor_quadrature(activation):
    rng = np.random.default_rng(7)
    x, w = np.polynomial.hermite_e.hermegauss(50)
    points = np.stack(np.meshgrid(x, x, x, indexing="ij"), axis=-1).reshape(-1, 3)
    weights = np.einsum("i,j,k->ijk", w, w, w).ravel() / w.sum() ** 3
    start = af.Gaussian.from_moments(
        rng.normal(size=3), np.array([[1.0, 0.3, 0.1], [0.3, 0.6, -0.2], [0.1, -0.2, 0.4]])
    )
    at = np.asarray(start.mean) + points @ np.asarray(start.factor).T
    one = FeedForward(A=rng.normal(size=(3, 3)), b=rng.normal(size=3), activation=activation)
    two = MLP(rng.normal(size=(5, 3)), rng.normal(size=(3, 5)), activation, b1=rng.normal(size=5))
    for layer in (one, two):
        values = np.asarray(layer.velocity(at, at))
        design = np.hstack([at, np.ones((len(at), 1))]) * np.sqrt(weights)[:, None]
        rest = np.linalg.lstsq(design, values * np.sqrt(weights)[:, None], rcond=None)[0]
        residual = values * np.sqrt(weights)[:, None] - design @ rest
        assert closure_defect(lipschitz_field(layer, 3), start) == pytest.approx(np.linalg.norm(residual), rel=1e-7)


@pytest.mark.parametrize("height", [-6.0, -1.3, 0.0, 0.7, 5.0])
def test_the_nonlinear_variance_of_relu_agrees_with_quadrature(height):
    dev, mean = 0.7, 0.7 * height

    def mean_of(g):
        pieces = [(-12, -height), (-height, 12)] if abs(height) < 12 else [(-12, 12)]
        return sum(
            quad(lambda t: g(mean + dev * t, t) * norm.pdf(t), *p, epsabs=1e-18, epsrel=1e-12)[0] for p in pieces
        )

    # of max(0, -z), which differs by z: so that the small number is not lost in the oracle either
    side = -1.0 if height > 0 else 1.0
    a0, a1 = (mean_of(lambda z, t, k=k: max(0.0, side * z) * t**k) for k in (0, 1))
    exact = mean_of(lambda z, t: (max(0.0, side * z) - a0 - a1 * t) ** 2)
    found = nonlinear_variance(ReLU(), np.array([mean]), np.array([dev]))[0]
    assert found == pytest.approx(exact, rel=1e-9)


def test_small_deviations_keep_their_digits():
    with mpmath.workdps(40):
        mean, dev = mpmath.mpf("0.4"), mpmath.mpf("1e-4")
        # sum over k >= 2 of (E s^(k) dev^k)^2 / k!, leading term s''(m) dev^2 / sqrt 2
        curvature = mpmath.diff(mpmath.tanh, mean, 2)
        third, fourth = mpmath.diff(mpmath.tanh, mean, 3), mpmath.diff(mpmath.tanh, mean, 4)
        exact = ((curvature + fourth * dev**2 / 2) * dev**2) ** 2 / 2 + (third * dev**3) ** 2 / 6
    found = nonlinear_variance(Tanh(), np.array([0.4]), np.array([1e-4]))[0]
    assert found == pytest.approx(float(exact), rel=1e-7)


def test_the_growth_agrees_with_scipy():
    edges = np.array([0.0, 0.3, 0.5, 1.0, 1.2])
    nodes = nodes_within(edges)
    found = grown(edges, np.full(nodes.shape, -0.8), np.cos(nodes) + 0.5 * nodes, first=0.2)
    exact = solve_ivp(
        lambda t, D: -0.8 * D + np.cos(t) + 0.5 * t, (0, 1.2), [0.2], t_eval=edges, rtol=1e-11, atol=1e-13
    )
    assert found == pytest.approx(exact.y[0], rel=1e-7)


PLAIN = {
    "softmax": lambda V: af.SoftmaxAttention(B=0.0, V=V, value_bias=[0.1, -0.2]),
    "sigmoid": lambda V: af.SigmoidAttention(B=np.zeros((2, 2)), V=V, bias=0.7),
    "sinkhorn": lambda V: af.SinkhornAttention(B=0.0, V=V),
    "L2": lambda V: af.L2Attention(Q=[[1.0, 0.5]], K=np.zeros((1, 2)), V=V),
    "linear": lambda V: af.LinearAttention(B=0.0, V=V),
    "no values": lambda V: af.SoftmaxAttention(B=[[1.0, 2.0], [0.0, 1.0]], V=0.0),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_attention_without_preferences_moves_by_a_multiple_of_the_mean(kind):
    rng = np.random.default_rng(3)
    head = PLAIN[kind](np.array([[0.5, 1.0], [-0.3, 0.2]]))
    field = lipschitz_field(head, 2)
    clouds = [rng.normal(size=(9, 2)) ** 3 + rng.normal(size=2) for _ in range(2)]
    at = rng.normal(size=(4, 2))
    one, two = (np.asarray(head.velocity(at if kind != "sinkhorn" else c[:4], c)) for c in clouds)
    moved = (clouds[0].mean(axis=0) - clouds[1].mean(axis=0)) @ field.average.T
    assert one - two == pytest.approx(np.tile(moved, (4, 1)), abs=1e-9)


@pytest.mark.parametrize(
    "head",
    [
        af.SoftmaxAttention(B=0.1, V=1.0),
        af.SoftmaxAttention(B=0.0, V=1.0, query_bias=[1.0, 0.0]),
        af.SigmoidAttention(B=0.1, V=1.0),
        af.L2Attention(Q=[[0.0, 0.0]], K=[[1.0, 0.0]], V=1.0),
        af.FiniteSoftmaxAttention(B=0.1, V=1.0, n=100),
    ],
    ids=lambda head: type(head).__name__,
)
def test_attention_with_preferences_has_no_constant(head):
    assert "depend on the tokens" in lipschitz_field(head, 2)


def test_an_unknown_activation_has_no_constant():
    class Steep(Tanh):
        pass

    class Own(ReLU.__mro__[1]):
        def __call__(self, x):
            return x

        expectations = coefficients = variance = covariance = __call__

    assert slopes_of(Own()) is None
    assert "Own" in lipschitz_field(FeedForward(A=np.eye(2), activation=Own()), 2)
