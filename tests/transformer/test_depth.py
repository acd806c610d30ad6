from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnflow import Affine, BadInput, Depth, SoftmaxAttention, Transformer

pytestmark = pytest.mark.usefixtures("x64")
D = 3


def model(rng, **changes) -> Transformer:
    parameters = {"B": rng.standard_normal((D, D)), "V": -0.5} | changes
    return Transformer(SoftmaxAttention(**parameters), Affine(A=rng.standard_normal((D, D)), b=rng.standard_normal(D)))


def matrix_at(depth: Depth, t) -> np.ndarray:
    return np.asarray(depth.at(t).feedforward.A)


@pytest.mark.parametrize("traced", [False, True])
def test_piecewise_holds_each_layer_from_its_left_edge_on(rng, traced):
    layers = [model(rng) for _ in range(3)]
    depth = Depth.piecewise(layers, [0.0, 1.0, 2.5])
    at = jax.jit(lambda t: depth.at(t).feedforward.A) if traced else lambda t: matrix_at(depth, t)
    for t, index in [(0.0, 0), (0.999, 0), (1.0, 1), (2.49, 1), (2.5, 2), (1e6, 2)]:
        np.testing.assert_array_equal(at(t), layers[index].feedforward.A)


def test_piecewise_without_a_last_edge_holds_for_ever_and_with_one_ends_there(rng):
    layers = [model(rng) for _ in range(2)]
    for_ever, ending = Depth.piecewise(layers, [0.0, 1.0]), Depth.piecewise(layers, [0.0, 1.0, 3.0])
    assert (for_ever.end, ending.end) == (np.inf, 3.0)
    np.testing.assert_array_equal(for_ever.jumps, [1.0])
    np.testing.assert_array_equal(ending.jumps, [1.0])
    np.testing.assert_array_equal(matrix_at(ending, 3.0), layers[1].feedforward.A)
    assert for_ever.dim == ending.dim == D


@pytest.mark.parametrize("traced", [False, True])
def test_interpolation_is_linear_between_its_knots(rng, traced):
    layers, knots = [model(rng) for _ in range(3)], np.array([0.0, 1.0, 2.5])
    depth = Depth.interpolated(layers, knots)
    at = jax.jit(lambda t: depth.at(t).feedforward.A) if traced else lambda t: matrix_at(depth, t)
    matrices = np.stack([layer.feedforward.A for layer in layers])
    for t in [0.0, 0.3, 1.0, 1.7, 2.5]:
        wanted = [[np.interp(t, knots, matrices[:, i, j]) for j in range(D)] for i in range(D)]
        np.testing.assert_allclose(at(t), wanted, rtol=1e-13)
    assert depth.end == 2.5
    np.testing.assert_array_equal(depth.jumps, [1.0])


def test_every_parameter_is_interpolated(rng):
    layers = [model(rng), model(rng, V=1.5)]
    middle = Depth.interpolated(layers, [0.0, 4.0]).at(1.0)
    assert float(middle.attention[0].V) == pytest.approx(0.75 * -0.5 + 0.25 * 1.5)
    np.testing.assert_allclose(middle.attention[0].B, 0.75 * layers[0].attention[0].B + 0.25 * layers[1].attention[0].B)
    np.testing.assert_allclose(middle.feedforward.b, 0.75 * layers[0].feedforward.b + 0.25 * layers[1].feedforward.b)


def test_a_function_of_depth_is_called_with_the_depth(rng):
    B = rng.standard_normal((D, D))
    depth = Depth.function(lambda t: SoftmaxAttention(B=jnp.cos(t) * B, V=1.0))
    np.testing.assert_allclose(depth.at(0.7).B, np.cos(0.7) * B)
    assert depth.dim == D
    assert depth.end == np.inf
    assert depth.jumps.size == 0


def one(d=2) -> Affine:
    return Affine(A=np.ones((d, d)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Depth.piecewise([one(), one()], [0.0]),
            r"`times` must have 2 or 3 entries for 2 models: 1 were found",
        ),
        (lambda: Depth.piecewise([one(), one()], [0.5, 1.0]), r"`times` must start at 0.*it starts at 0\.5"),
        (lambda: Depth.piecewise([one(), one()], [0.0, 0.0]), r"`times` must be strictly increasing: entry 1 is 0"),
        (lambda: Depth.piecewise([], [0.0]), r"`models` must hold at least one layer"),
        (lambda: Depth.piecewise([one(), np.eye(2)], [0.0, 1.0]), r"`models\[1\]` must be a layer: ndarray"),
        (lambda: Depth.piecewise([one(), one(3)], [0.0, 1.0]), r"all `models` must share one dimension d: \[2, 3\]"),
        (lambda: Depth.piecewise([one()], [0.0, np.inf]), r"`times` must be finite"),
        (lambda: Depth.interpolated([one()], [0.0]), r"`models` must hold at least two models"),
        (lambda: Depth.interpolated([one(), Affine(A=1.0)], [0.0, 1.0]), r"`models\[1\]` must have the same layers"),
        (lambda: Depth.interpolated([one(), one()], [0.0, 1.0, 2.0]), r"`times` must have 2 entries"),
        (lambda: Depth.function(3.0), r"`f` must be a function of depth: float was found"),
        (lambda: Depth.function(lambda t: np.eye(2)).dim, r"function of depth must return a layer: "),
        (lambda: Depth.function(lambda t: one() if t > 0 else None).dim, r"could not be traced by JAX .*Error"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(BadInput, match=message):
        make()
