"""Compiled layers against SciPy's integration of the plan, quadrature, exact exponentials and plain sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

import attnflow as af
from attnflow.reachability import tokens as token_room
from attnflow.reachability.compilation import Scheme, compile_law, layer_depths, path_of
from attnflow.reachability.law import Constant, Controls, Steps
from attnflow.reachability.motion import follow
from attnflow.reachability.residual import gaussian_behind, images_behind, tokens_behind
from attnflow.reachability.tokens import attended, sampled_errors
from oracles.quadrature import velocity_at_gaussian, velocity_on_tokens

METHODS = (af.Rotation(), af.ConstantControls(), af.McCann(), af.PaperConstruction())
TIME = 1.25


def gaussian(rng: np.random.Generator, d: int, r: int) -> af.Gaussian:
    return af.Gaussian.from_factor(rng.normal(size=d), rng.normal(size=(d, r)) + 0.5 * np.eye(d, r))


def steps(rng: np.random.Generator, d: int, edges: list[float], size: float = 0.3) -> Steps:
    matrices = (size * rng.normal(size=(len(edges) - 1, d, d)) for _ in range(3))
    return Steps(np.array(edges), Controls(*matrices, rng.normal(size=(len(edges) - 1, d))))


def error(found: af.Gaussian, mean: np.ndarray, factor: np.ndarray) -> tuple[float, float]:
    wanted = factor @ factor.T
    off = np.linalg.norm(found.mean - mean) / np.linalg.norm(mean)
    return float(off), float(np.linalg.norm(found.cov - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
@pytest.mark.parametrize(("d", "r"), [(3, 3), (4, 2)])
def test_every_exponential_layer_of_an_exact_plan_ends_where_scipy_takes_the_controls(method, d, r, rng):
    start, target = gaussian(rng, d, r), gaussian(rng, d, r)
    plan = af.steer(start, target, time=TIME, method=method)
    stack = compile_law(plan.law, plan.motion, TIME, 3, Scheme.EXPONENTIAL)
    scipy = follow(plan.law, start.mean, start.factor, TIME).motion
    assert stack.exact
    for behind in (1, 2, 3):
        first = Controls(*(part[:behind] for part in stack.weights))
        t = stack.depths[behind]
        assert max(error(gaussian_behind(first, start), scipy.mean(t), scipy.factor(t))) < 1e-9


def test_the_layer_of_a_gaussian_is_affine_as_quadrature_finds_it(rng):
    start = af.Gaussian.from_factor([0.4, -0.7, 0.2], [[0.8, 0.0], [-0.5, 0.6], [0.3, -0.2]])
    A, B, V = (0.6 * rng.normal(size=(1, 3, 3)) for _ in range(3))
    layers = Controls(A, B, V, rng.normal(size=(1, 3)))

    def moved(x: np.ndarray) -> np.ndarray:
        return x + velocity_at_gaussian(B[0], V[0], start.mean, start.factor, x) + A[0] @ x + layers.b[0]

    points = rng.normal(size=(5, 3))
    wanted = np.array([moved(x) for x in points])
    np.testing.assert_allclose(images_behind(layers, start, points), wanted, rtol=1e-11)
    end = gaussian_behind(layers, start)
    np.testing.assert_allclose(end.mean, moved(start.mean), rtol=1e-11)
    columns = [moved(start.mean + column) - moved(start.mean) for column in start.factor.T]
    np.testing.assert_allclose(end.factor, np.transpose(columns), rtol=1e-10)


def test_a_plain_feedforward_is_compiled_to_its_exponential(rng):
    A, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    start, zero = gaussian(rng, 3, 2), np.zeros((3, 3))
    law = Constant(Controls(A, rng.normal(size=(3, 3)), zero, b))
    motion = follow(law, start.mean, start.factor, TIME).motion
    end = gaussian_behind(compile_law(law, motion, TIME, 5, Scheme.EXPONENTIAL).weights, start)
    affine = expm(TIME * np.block([[A, b[:, None]], [np.zeros((1, 4))]]))
    np.testing.assert_allclose(end.mean, affine[:3, :3] @ start.mean + affine[:3, 3], rtol=1e-10)
    np.testing.assert_allclose(end.factor, affine[:3, :3] @ start.factor, rtol=1e-12)


@pytest.mark.parametrize("rank", [1, 3])
def test_other_laws_converge_with_order_two_and_euler_with_order_one(rank, rng):
    start, law = gaussian(rng, 3, rank), steps(rng, 3, [0.0, 0.25, 0.75, TIME], size=0.15)
    motion = follow(law, start.mean, start.factor, TIME).motion
    for scheme, order in ((Scheme.EXPONENTIAL, 2), (Scheme.EULER, 1)):
        errors = np.array([deviation(law, motion, start, layers, scheme) for layers in (40, 80, 160)])
        if scheme is Scheme.EXPONENTIAL:
            assert errors[:, 0].max() < 1e-12  # the mean has no error to fall
            errors = errors[:, 1:]
        np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), order, atol=0.12)


def deviation(law, motion, start, layers, scheme) -> tuple[float, float]:
    end = gaussian_behind(compile_law(law, motion, TIME, layers, scheme).weights, start)
    return error(end, motion.mean(TIME), motion.factor(TIME))


def test_a_layer_without_feedforward_stays_without(rng):
    law = steps(rng, 3, [0.0, 0.5, TIME])
    law = Steps(law.edges, law.parameters._replace(A=np.zeros((2, 3, 3))))
    start = gaussian(rng, 3, 3)
    motion = follow(law, start.mean, start.factor, TIME).motion
    assert not compile_law(law, motion, TIME, 4, Scheme.EXPONENTIAL).weights.A.any()


def test_the_straight_path_of_mccann_needs_no_exponential(rng):
    start, target = gaussian(rng, 4, 3), gaussian(rng, 4, 3)
    plan = af.steer(start, target, method=af.McCann())
    stack = compile_law(plan.law, plan.motion, 1.0, 3, Scheme.EULER)
    assert stack.exact
    assert max(error(gaussian_behind(stack.weights, start), target.mean, target.factor)) < 1e-12


def test_only_laws_that_follow_a_path_are_called_exact(rng):
    A, b = rng.normal(size=(2, 2)), rng.normal(size=2)
    assert path_of(Constant(Controls(A, 0 * A, -A, b)), 1.0) is not None
    assert path_of(Constant(Controls(A, 0 * A, A, b)), 1.0) is None
    assert path_of(Constant(Controls(A, A, -A, b)), 1.0) is None
    assert path_of(steps(rng, 2, [0.0, 1.0]), 1.0) is None


@pytest.mark.parametrize(
    ("jumps", "layers", "wanted"),
    [
        ((), 4, [0.0, 0.5, 1.0, 1.5, 2.0]),
        ((0.5, 1.5), 4, [0.0, 0.5, 1.0, 1.5, 2.0]),
        ((0.2,), 4, [0.0, 0.2, 0.8, 1.4, 2.0]),
        ((0.2, 1.7), 3, [0.0, 0.2, 1.7, 2.0]),
    ],
)
def test_layers_end_where_controls_jump(jumps, layers, wanted):
    depths, notes = layer_depths(jumps, 2.0, layers)
    np.testing.assert_allclose(depths, wanted, atol=1e-15)
    assert set(jumps) <= set(depths)
    assert not notes


def test_fewer_layers_than_stretches_say_so():
    depths, notes = layer_depths((0.2, 0.3, 1.7), 2.0, 2)
    assert depths.tolist() == [0.0, 1.0, 2.0]
    assert "cross a jump" in notes[0]


def test_tokens_move_by_the_sums_of_the_definition(rng):
    A, B, V = (0.5 * rng.normal(size=(2, 3, 3)) for _ in range(3))
    b, points = rng.normal(size=(2, 3)), rng.normal(size=(7, 3))
    wanted = points
    for layer in range(2):
        seen = [velocity_on_tokens(B[layer], V[layer], wanted, x) for x in wanted]
        wanted = np.array([x + v + A[layer] @ x + b[layer] for x, v in zip(wanted, seen, strict=True)])
    moved, failed = tokens_behind(Controls(A, B, V, b), points)
    assert failed is None
    np.testing.assert_allclose(moved, wanted, rtol=1e-12)


@pytest.mark.parametrize("block", [1, 64, 1000])
def test_averages_do_not_depend_on_the_blocks_nor_on_the_size_of_logits(block, rng, monkeypatch):
    from scipy.special import softmax

    monkeypatch.setattr(token_room, "BLOCK", block)
    points, B = 5.0 * rng.normal(size=(37, 3)), 9.0 * rng.normal(size=(3, 3))
    wanted = softmax(points @ B.T @ points.T, axis=1) @ points
    np.testing.assert_allclose(attended(points, B), wanted, rtol=1e-11, atol=1e-11)


def test_the_layer_that_leaves_float64_is_named(rng):
    grows = np.stack([np.eye(2), 1e200 * np.eye(2), 1e200 * np.eye(2)])
    weights = Controls(grows, np.zeros((3, 2, 2)), np.zeros((3, 2, 2)), np.zeros((3, 2)))
    assert tokens_behind(weights, rng.normal(size=(5, 2)))[1] == 2
    assert gaussian_behind(weights, af.Gaussian.from_factor([1.0, 2.0], np.eye(2))) is None


def test_the_floors_are_the_spread_of_errors_of_true_samples(rng):
    target = af.Gaussian.from_factor([0.5, -1.0, 0.25], [[1.0, 0.0], [0.5, 0.7], [-0.3, 1.2]])
    draws = [target.mean + rng.normal(size=(200, 2)) @ target.factor.T for _ in range(400)]
    found = [sampled_errors(points, target, seed=3) for points in draws]
    for name in ("mean", "cov"):
        errors = [getattr(one, f"{name}_error") for one in found]
        floor = getattr(found[0], f"{name}_floor")
        assert abs(np.sqrt(np.mean(np.square(errors))) / floor - 1) < 0.08
