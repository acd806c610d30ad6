"""The nonlinear feed-forward on tokens, at a Gaussian, and along the flow as a moment closure."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import erf

import attnflow as af
from attnflow._linalg import LowRank
from attnflow.measures.gaussian import Moments
from attnflow.moments.by_quadrature import SiLU, Tanh, TanhGELU
from attnflow.moments.error_function import GELU, Erf
from attnflow.moments.relu import ReLU
from attnflow.transformer.feedforward import FeedForward
from golden import HERE

CASES = {case["name"]: case for case in json.loads((HERE / "activations.json").read_text())["cases"]}
D = 3
FUNCTIONS = {
    ReLU: lambda z: np.where(z > 0, z, 0.0),
    GELU: lambda z: 0.5 * z * (1 + erf(z / np.sqrt(2))),
    TanhGELU: lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    Tanh: np.tanh,
    SiLU: lambda z: z / (1 + np.exp(-z)),
    Erf: erf,
}
ALL = list(FUNCTIONS)


def plane(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-8.5, 8.5, nodes)
    w = np.exp(-0.5 * x**2) / np.exp(-0.5 * x**2).sum()
    return np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2), np.outer(w, w).ravel()


@pytest.mark.parametrize("activation", ALL)
def test_on_tokens_it_is_the_activation_of_the_affine_map(activation, rng, x64):
    A, b, points = rng.standard_normal((D, D)), rng.standard_normal(D), 2 * rng.standard_normal((7, D))
    found = FeedForward(A=A, b=b, activation=activation()).velocity(points, points[:2])
    np.testing.assert_allclose(found, FUNCTIONS[activation](points @ A.T + b), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("form", ["matrix", "number", "low rank"])
@pytest.mark.parametrize("activation", [ReLU, GELU, Tanh])
def test_at_a_gaussian_it_has_the_mean_and_the_correlation_of_the_velocity(activation, form, rng, x64):
    """G cov = Cov(velocity, x) and G mean + c = E velocity, at a singular start, by a sum over the plane."""
    left, right = rng.standard_normal((D, 2)), rng.standard_normal((2, D))
    A = {"matrix": rng.standard_normal((D, D)), "number": -0.8, "low rank": LowRank(left, right)}[form]
    b, mean, factor = rng.standard_normal(D), rng.standard_normal(D), rng.standard_normal((D, 2))
    affine = FeedForward(A, b, activation=activation()).at_gaussian(af.Gaussian(mean, factor))
    z, w = plane(1001)
    x = mean + z @ factor.T
    dense = {"matrix": A, "number": -0.8 * np.eye(D), "low rank": left @ right}[form]
    y = FUNCTIONS[activation](x @ dense.T + b)
    tolerance = 1e-11 if activation is not ReLU else 3e-5
    G = np.asarray(affine.linear())
    assert not affine.exact
    np.testing.assert_allclose(G @ mean + affine.offset, w @ y, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(G @ factor @ factor.T, ((y - w @ y).T * w) @ (x - mean), atol=10 * tolerance)


@pytest.mark.parametrize("form", ["matrix", "number", "low rank"])
def test_moments_mean_the_same_as_a_factor(form, rng, x64):
    A = {"matrix": rng.standard_normal((D, D)), "number": 1.3, "low rank": LowRank(np.ones((D, 1)), np.ones((1, D)))}
    layer = FeedForward(A[form], activation=SiLU())
    mean, factor = rng.standard_normal(D), rng.standard_normal((D, D))
    one, two = layer.at_gaussian(af.Gaussian(mean, factor)), layer.at_gaussian(Moments(mean, factor @ factor.T))
    np.testing.assert_allclose(one.linear(), two.linear(), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(one.offset, two.offset, rtol=1e-11, atol=1e-12)


def test_the_golden_closure_with_attention():
    case = CASES["closure_ode_reluFF_softmax_t0.5"]
    i = {key: np.array(value) for key, value in case["inputs"].items()}
    model = af.Transformer(af.SoftmaxAttention(i["B"], i["V"]), FeedForward(i["A"], i["b"], activation=ReLU()))
    run = af.simulate(model, af.Gaussian.from_moments(i["alpha"], i["Sigma"]), [float(i["t"])], rtol=1e-12)
    wanted = np.array(case["expected"])
    found = np.concatenate([run.mean[0], run.cov[0].ravel()])
    assert np.linalg.norm(found - wanted) <= case["rtol"] * np.linalg.norm(wanted)
    assert not run.exact
    assert run.status == "reached_end"


def test_the_closure_errs_in_second_order():
    """Tokens do not see each other here, so nodes of a quadrature, moved one by one, have the moments of the law."""
    A, b = np.array([[0.9, -0.4], [0.5, 0.7]]), np.array([0.2, -0.1])
    mean, factor = np.array([0.3, -0.4]), np.array([[0.8, 0.0], [0.3, 0.6]])
    z, w = plane(121)
    points = mean + z @ factor.T
    ts = np.array([0.05, 0.1])

    def move(_, x):
        return FUNCTIONS[GELU](x.reshape(-1, 2) @ A.T + b).ravel()

    tokens = solve_ivp(move, (0, 0.1), points.ravel(), t_eval=ts, rtol=1e-9, atol=1e-11).y.T.reshape(2, -1, 2)
    run = af.simulate(FeedForward(A, b, activation=GELU()), af.Gaussian.from_factor(mean, factor), ts)
    errors = []
    for x, cov in zip(tokens, run.cov, strict=True):
        centred = x - w @ x
        errors.append(np.linalg.norm((centred.T * w) @ centred - cov))
    assert errors[0] < 1e-3
    assert 3.2 < errors[1] / errors[0] < 4.8


def test_the_flow_conserves_rank_from_a_singular_start(rng):
    factor = np.array([[1.0, 0.2], [0.5, -0.3], [0.0, 0.4]])
    model = af.Transformer(
        af.SoftmaxAttention(np.eye(3) + 0.1 * rng.standard_normal((3, 3)), -np.eye(3)),
        FeedForward(0.5 * rng.standard_normal((3, 3)), rng.standard_normal(3), activation=SiLU()),
    )
    run = af.simulate(model, af.Gaussian.from_factor(rng.standard_normal(3), factor), [0.5, 1.0])
    assert run.status == "reached_end"
    assert run.rank == 2
    assert run.numerical_rank.tolist() == [2, 2]
    assert not run.exact


def test_a_point_mass_moves_as_a_token():
    A, b, x = np.array([[0.9, -0.4], [0.5, 0.7]]), np.array([0.2, -0.1]), np.array([0.3, -0.4])
    layer = FeedForward(A, b, activation=GELU())
    run = af.simulate(layer, af.Gaussian.from_factor(x, np.zeros((2, 0))), [1.0])
    wanted = solve_ivp(lambda _, y: FUNCTIONS[GELU](A @ y + b), (0, 1), x, rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(run.mean[0], wanted, rtol=1e-7)


def test_the_core_is_compiled_batched_and_differentiated(x64):
    """The gradient, which comes from another integrator, is the finite difference of the compiled batch of flows."""
    A, b = jnp.array([[0.4, -0.3], [0.2, -0.5]]), jnp.array([0.3, -0.2])
    means, factor = jnp.array([[0.5, -1.0], [0.1, 0.8]]), jnp.array([[0.7], [0.4]])

    @jax.jit
    def total(A):
        layer = FeedForward(A, b, activation=GELU())
        runs = jax.vmap(lambda m: af.evolve(layer, af.Gaussian(m, factor), [0.6], rtol=1e-11))(means)
        return jnp.sum(runs.mean**2) + jnp.sum(jnp.sin(runs.cov))

    change = np.array([[0.3, -0.5], [0.8, 0.2]])
    wanted = (total(A + 1e-4 * change) - total(A - 1e-4 * change)) / 2e-4
    assert float(jnp.sum(jax.grad(total)(A) * change)) == pytest.approx(float(wanted), rel=1e-6)


def test_parameters_interpolated_in_depth_keep_the_activation():
    layers = [FeedForward(a * np.eye(2), np.zeros(2), activation=GELU()) for a in (0.2, 0.6)]
    middle = af.Depth.interpolated(layers, [0.0, 1.0]).at(0.5)
    assert isinstance(middle.activation, GELU)
    np.testing.assert_allclose(middle.A, 0.4 * np.eye(2), rtol=1e-6)
    with pytest.raises(af.BadInput, match="must have the same layers"):
        af.Depth.interpolated([layers[0], FeedForward(np.eye(2), np.zeros(2), activation=ReLU())], [0.0, 1.0])


def test_residual_layers_move_a_gaussian_too():
    layer = FeedForward(np.array([[0.4, -0.3], [0.2, -0.5]]), np.array([0.3, -0.2]), activation=ReLU())
    start = af.Gaussian.from_factor([0.5, -1.0], [[0.7, 0.0], [0.4, 0.9]])
    run = af.simulate(layer, start, layers=1, step=0.5)
    with jax.enable_x64(True):
        affine = layer.at_gaussian(start)
        step = np.eye(2) + 0.5 * np.asarray(affine.linear())
        mean = step @ np.asarray(start.mean) + 0.5 * np.asarray(affine.offset)
    np.testing.assert_allclose(run.mean[-1], mean, rtol=1e-12)
    np.testing.assert_allclose(run.cov[-1], step @ np.asarray(start.cov) @ step.T, rtol=1e-12)
    assert not run.exact


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"A": np.ones((2, 3))}, "`A` must be square"),
        ({"b": np.ones(3)}, "`A` has d = 2, `b` has d = 3"),
        ({"b": [np.inf, 0.0]}, "`b` must be finite"),
        ({"activation": "relu"}, "`activation` must be an activation with a known Gaussian form: str was found"),
        ({"activation": ReLU}, r"ReLU was found; write ReLU\(\)"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(af.BadInput, match=message):
        FeedForward(**({"A": np.eye(2), "activation": ReLU()} | arguments))
