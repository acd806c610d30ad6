"""The flow of a mixture of Gaussians, against quadrature of the definitions, matrix exponentials and SciPy's solver."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.linalg import expm
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import multivariate_normal, norm

from attnflow._check import BadInput
from attnflow.flow.gaussian import flow_gaussian
from attnflow.flow.leg import Options
from attnflow.flow.mixture import flow_mixture, require_mixture_model
from attnflow.flow.outcome import Status
from attnflow.measures.gaussian import Gaussian
from attnflow.measures.mixture import Mixture
from attnflow.measures.mixture_line import mixture_square, sliced_to_mixture
from attnflow.moments.error_function import GELU
from attnflow.moments.relu import ReLU
from attnflow.transformer.at_mixture import Components, rates_at_mixture, velocity_at_mixture
from attnflow.transformer.block import Transformer
from attnflow.transformer.depth import Depth
from attnflow.transformer.feedforward import Affine, FeedForward
from attnflow.transformer.l2 import L2Attention
from attnflow.transformer.linear import LinearAttention
from attnflow.transformer.mixture_defect import leading_defect, third_cumulant_rate
from attnflow.transformer.mixture_rule import normal_rule
from attnflow.transformer.mlp import MLP
from attnflow.transformer.sinkhorn import SinkhornAttention
from attnflow.transformer.softmax import SoftmaxAttention

pytestmark = pytest.mark.usefixtures("x64")

B, V = np.array([[0.5, -0.3], [0.4, 0.2]]), np.array([[0.7, 0.2], [-0.4, 0.5]])
SOFTMAX = SoftmaxAttention(B=B, V=V, query_bias=[0.3, -0.2], value_bias=[0.1, 0.4])
L2 = L2Attention(Q=[[0.6, -0.9]], K=[[1.1, 0.3]], V=V, temperature=1.3, query_bias=[0.2], key_bias=[-0.3])
LINEAR = LinearAttention(B=B, V=V, query_bias=[0.3, -0.2], value_bias=[0.1, 0.4])
PARTS = [
    Gaussian.from_moments([-1.1, 0.4], [[0.5, 0.2], [0.2, 0.3]]),
    Gaussian.from_moments([0.9, -0.6], [[0.3, -0.1], [-0.1, 0.6]]),
    Gaussian.from_moments([0.2, 1.3], [[0.2, 0.05], [0.05, 0.1]]),
]
MIXTURE = Mixture([0.5, 0.3, 0.2], PARTS)


def weight_of(kind, x, y):
    """The attention weights by their definition."""
    if kind is SOFTMAX:
        return np.exp(y @ (B @ x + [0.3, -0.2]))
    if kind is L2:
        return np.exp(-np.square(x @ [0.6, -0.9] + 0.2 - y @ [1.1, 0.3] + 0.3) / 1.3)
    return y @ (B @ x + [0.3, -0.2])


def grid():
    """Points of the plane and their masses under the mixture: the rectangle rule, exact to rounding here."""
    line = np.linspace(-9.0, 9.0, 181)
    points = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    density = sum(
        w * multivariate_normal(part.mean, part.cov).pdf(points) for w, part in zip(MIXTURE.weights, PARTS, strict=True)
    )
    return points, density * 0.1**2


def velocity_by_grid(kind, x):
    y, mass = grid()
    w = weight_of(kind, x, y) * mass
    total = 1.0 if kind is LINEAR else w.sum()
    shift = np.zeros(2) if kind is L2 else np.array([0.1, 0.4])
    return V @ (w @ y) / total + shift


@pytest.mark.parametrize("kind", [SOFTMAX, L2, LINEAR])
def test_the_velocity_at_a_mixture_is_the_integral_of_its_definition(kind):
    points = np.array([[0.7, -1.2], [-0.4, 0.9], [1.5, 1.1]])
    found = velocity_at_mixture(kind, Components.of(MIXTURE), points)
    np.testing.assert_allclose(found, [velocity_by_grid(kind, x) for x in points], rtol=1e-10)


def test_weights_that_leave_the_range_of_floats_give_the_nearest_component():
    far = velocity_at_mixture(SoftmaxAttention(B=500.0, V=1.0), Components.of(MIXTURE), np.array([[3.0, 4.0]]))
    seen = [500.0 * np.array([3.0, 4.0]) @ p.mean + 0.5 * np.sum((500.0 * p.factor.T @ [3.0, 4.0]) ** 2) for p in PARTS]
    best = PARTS[int(np.argmax(seen))]
    np.testing.assert_allclose(far[0], best.mean + best.cov @ (500.0 * np.array([3.0, 4.0])), rtol=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        SOFTMAX,
        L2,
        LINEAR,
        Transformer([SOFTMAX, L2], MLP(W1=[[0.8, -0.5], [0.3, 1.0], [0.2, 0.7]], b1=[0.1, -0.4, 0.3],
                                       W2=[[0.5, -0.2, 0.9], [0.4, 0.3, -0.6]], activation=GELU())),
    ],
)  # fmt: skip
def test_components_move_by_the_linearisation_of_the_whole_velocity(model):
    mixture, points = Components.of(MIXTURE), grid()[0]
    means, factors = rates_at_mixture(model, mixture, normal_rule(2))
    velocity = np.asarray(velocity_at_mixture(model, mixture, points))
    for j, part in enumerate(PARTS):
        mass = multivariate_normal(part.mean, part.cov).pdf(points) * 0.1**2
        z = np.linalg.solve(part.factor, (points - part.mean).T).T
        np.testing.assert_allclose(means[j], mass @ velocity, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(factors[j], (velocity.T * mass) @ z, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("dim", "tolerance"), [(4, 1e-3), (16, 4e-3)])
def test_in_many_dimensions_the_weights_of_two_like_components_match_one_integral(rng, dim, tolerance):
    factor = np.tril(rng.normal(size=(dim, dim))) / np.sqrt(dim) + 0.4 * np.eye(dim)
    means = rng.normal(size=(2, dim)) / np.sqrt(dim)
    matrix, value = rng.normal(size=(dim, dim)) / dim, rng.normal(size=(dim, dim)) / np.sqrt(dim)
    parts = Components.of(Mixture([0.4, 0.6], [Gaussian.from_factor(m, factor) for m in means]))
    found = rates_at_mixture(SoftmaxAttention(B=matrix, V=value), parts, normal_rule(dim))
    apart, cov = means[0] - means[1], factor @ factor.T
    for j in range(2):
        tilt = factor.T @ matrix.T @ apart
        spread = np.linalg.norm(tilt)
        half = np.log(0.4 / 0.6) + (matrix @ means[j]) @ apart
        share = quad(lambda u, h=half, s=spread: expit(h + s * u) * norm.pdf(u), -12, 12, epsabs=1e-13)[0]
        lean = quad(lambda u, h=half, s=spread: u * expit(h + s * u) * norm.pdf(u), -12, 12, epsabs=1e-13)[0]
        mean = value @ (means[1] + cov @ matrix @ means[j] + share * apart)
        turned = value @ (cov @ matrix @ factor + lean * np.outer(apart, tilt / spread))
        assert np.linalg.norm(found[0][j] - mean) < tolerance * np.linalg.norm(mean)
        assert np.linalg.norm(found[1][j] - turned) < tolerance * np.linalg.norm(turned)


def test_one_component_moves_by_the_gaussian_flow():
    model = Transformer(SOFTMAX, FeedForward(A=-np.eye(2) + 0.3 * V, b=[0.2, -0.1], activation=ReLU()))
    ts = np.array([0.0, 0.4, 1.1])
    found = flow_mixture(model, Mixture([1.0], PARTS[:1]), ts, Options(rtol=1e-10), lambda t: None)
    wanted = flow_gaussian(model, PARTS[0], 1.1, ts, Options(rtol=1e-10), lambda t: None)
    assert not found.exact
    for mean, factor, point in zip(found.means, found.factors, wanted.points, strict=True):
        np.testing.assert_allclose(mean[0], point.mean, rtol=1e-8)
        np.testing.assert_allclose(factor[0] @ factor[0].T, point.factor @ point.factor.T, rtol=1e-8)


def test_an_affine_layer_alone_keeps_a_mixture_a_mixture():
    A, b = np.array([[-0.4, 1.1], [-0.8, 0.2]]), np.array([0.5, -0.3])
    found = flow_mixture(Affine(A, b), MIXTURE, np.array([0.7, 2.0]), Options(rtol=1e-11), lambda t: None)
    turn = expm(2.0 * A)
    shift = np.linalg.solve(A, (turn - np.eye(2)) @ b)
    assert found.exact
    for j, part in enumerate(PARTS):
        np.testing.assert_allclose(found.means[1][j], turn @ part.mean + shift, rtol=1e-8)
        np.testing.assert_allclose(found.factors[1][j], turn @ part.factor, rtol=1e-8)


def test_linear_attention_moves_all_components_by_one_affine_map():
    found = flow_mixture(LINEAR, MIXTURE, np.array([0.5]), Options(rtol=1e-10), lambda t: None)

    def rate(t, flat):
        points = flat[:-6].reshape(-1, 2)
        second = flat[-4:].reshape(2, 2) + np.outer(flat[-6:-4], flat[-6:-4])
        G, c = V @ second @ B, V @ second @ [0.3, -0.2] + [0.1, 0.4]
        mean, cov = flat[-6:-4], flat[-4:].reshape(2, 2)
        return np.concatenate([(points @ G.T + c).ravel(), G @ mean + c, (G @ cov + cov @ G.T).ravel()])

    whole = MIXTURE
    points = np.stack([PARTS[0].mean + sign * PARTS[0].factor[:, i] for i in range(2) for sign in (1, -1)])
    start = np.concatenate([points.ravel(), whole.mean, whole.cov.ravel()])
    end = solve_ivp(rate, (0, 0.5), start, rtol=1e-11, atol=1e-12).y[:-6, -1].reshape(4, 2)
    assert found.exact
    np.testing.assert_allclose(found.means[0][0], end.mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(found.factors[0][0], ((end[::2] - end[1::2]) / 2).T, rtol=1e-7)


def test_components_of_lower_rank_keep_it():
    thin = Mixture([0.6, 0.4], [Gaussian.from_factor([0.3, -0.9], [0.5, 0.2]), PARTS[1]])
    found = flow_mixture(SOFTMAX, thin, np.array([0.6]), Options(rtol=1e-9), lambda t: None)
    values = np.linalg.svd(found.factors[0][0], compute_uv=False)
    assert values[1] < 1e-12 * values[0]
    assert found.evaluations > 0


def test_parameters_may_jump_with_depth():
    A = np.array([[-0.4, 1.1], [-0.8, 0.2]])
    model = Depth.piecewise([Affine(A), Affine(-0.5 * A.T)], [0.0, 0.3])
    found = flow_mixture(model, MIXTURE, np.array([0.9]), Options(rtol=1e-11), lambda t: None)
    np.testing.assert_allclose(found.factors[0][2], expm(-0.3 * A.T) @ expm(0.3 * A) @ PARTS[2].factor, rtol=1e-8)


def test_a_blow_up_of_the_components_is_a_result():
    half = Gaussian.from_moments([0.0], [[0.5]])
    found = flow_mixture(
        SoftmaxAttention(B=1.0, V=1.0), Mixture([0.3, 0.7], [half, half]), np.array([0.5, 2.0]), Options(max_steps=500),
        lambda t: None,
    )  # fmt: skip
    assert found.status is Status.BLOW_UP
    assert found.ts == [0.5]
    assert found.blow_up is not None
    assert found.blow_up.estimate == pytest.approx(1.0, rel=1e-6)


def test_an_exhausted_budget_is_a_result():
    found = flow_mixture(SOFTMAX, MIXTURE, np.array([0.0, 0.9]), Options(max_steps=2), lambda t: None)
    assert found.status is Status.BUDGET
    assert found.ts == [0.0]


def test_layers_without_a_known_velocity_at_a_mixture_are_refused():
    with pytest.raises(BadInput, match="SinkhornAttention was found"):
        require_mixture_model(Transformer([SinkhornAttention(B=1.0, V=1.0, epsilon=1.0)]))


def pushed_cumulants(velocity, points, mass, whiten, step):
    """Third cumulants of whiten @ (x + step velocity(x)), x with the `mass` on `points`."""
    moved = (points + step * velocity) @ whiten.T
    moved = moved - mass @ moved
    return np.einsum("q,qa,qb,qc->abc", mass, moved, moved, moved)


@pytest.mark.parametrize(
    ("model", "mixture"),
    [
        (MLP(W1=[[0.8, -0.5], [0.3, 1.0]], b1=[0.1, -0.4], W2=[[0.5, -0.2], [0.4, 0.3]], activation=GELU()),
         Mixture([1.0], PARTS[:1])),
        (Transformer(SOFTMAX, FeedForward(A=V, b=[0.2, -0.3], activation=GELU())), MIXTURE),
        (L2, MIXTURE),
    ],
)  # fmt: skip
def test_third_cumulants_of_each_component_begin_to_grow_as_predicted(model, mixture):
    parts, points = Components.of(mixture), grid()[0]
    velocity = np.asarray(velocity_at_mixture(model, parts, points))
    defect = leading_defect(model, parts, normal_rule(2))
    means, factors = rates_at_mixture(model, parts, normal_rule(2))
    for j, part in enumerate(mixture.components):
        mass = multivariate_normal(part.mean, part.cov).pdf(points) * 0.1**2
        whiten, step = np.linalg.inv(part.factor), 1e-4
        ends = [pushed_cumulants(velocity, points, mass, whiten, h) for h in (step, -step)]
        wanted = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(third_cumulant_rate(model, parts, part, normal_rule(2)), wanted, atol=2e-6)
        assert defect.skewness_rate[j] == pytest.approx(np.linalg.norm(wanted), rel=1e-4)
        z = (points - part.mean) @ whiten.T
        rest = velocity - means[j] - z @ np.asarray(factors[j]).T
        assert defect.residual[j] == pytest.approx(np.sqrt(mass @ np.sum(rest**2, axis=1)), rel=1e-5)


def test_a_gaussian_under_softmax_alone_shows_no_defect():
    defect = leading_defect(SOFTMAX, Components.of(Mixture([1.0], PARTS[:1])), normal_rule(2))
    assert float(defect.residual[0]) < 1e-12
    assert float(defect.skewness_rate[0]) < 1e-12


def test_the_distance_on_the_line_is_the_integral_over_quantiles():
    row, weights = np.array([-2.3, -0.7, 0.1, 0.4, 2.9]), np.array([0.3, 0.7])
    means, sigmas = np.array([-1.4, 1.1]), np.array([0.2, 0.6])

    def quantile(u):
        return brentq(lambda x: weights @ norm.cdf((x - means) / sigmas) - u, -30, 30, xtol=1e-14)

    wanted = sum(
        quad(lambda u, x=x: (x - quantile(u)) ** 2, i / 5, (i + 1) / 5, points=[0.3], epsabs=1e-9, limit=200)[0]
        for i, x in enumerate(row)
    )
    assert mixture_square(row, weights, means, sigmas) == pytest.approx(wanted, rel=1e-6)


def test_a_mixture_of_equal_components_is_as_far_as_the_gaussian_itself(rng):
    from attnflow.measures.distances import sliced_wasserstein

    part, points = PARTS[0], rng.normal(size=(300, 2))
    twice = sliced_to_mixture(points, np.array([0.3, 0.7]), np.stack([part.mean] * 2), np.stack([part.factor] * 2))
    assert twice == pytest.approx(sliced_wasserstein(points, part, directions=128), rel=1e-9)


def test_the_rule_for_few_dimensions_is_exact_for_polynomials_and_that_for_many_up_to_degree_three():
    for rank in (1, 2, 3):
        rule = normal_rule(rank)
        assert rule.weights @ rule.nodes[:, 0] ** 6 == pytest.approx(15.0)
    rule = normal_rule(9)
    np.testing.assert_allclose((rule.nodes.T * rule.weights) @ rule.nodes, np.eye(9), atol=1e-12)
    assert abs(rule.weights @ (rule.nodes[:, 0] * rule.nodes[:, 1] * rule.nodes[:, 2])) < 1e-12
    assert normal_rule(0).nodes.shape == (1, 0)
    assert jax.numpy.asarray(rule.weights).sum() == pytest.approx(1.0)
