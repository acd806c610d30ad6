from __future__ import annotations

import jax
import numpy as np
import pytest

from attnflow import Affine, BadInput, Gaussian, LowRank, SoftmaxAttention, Transformer
from attnflow.measures.gaussian import Moments
from oracles.quadrature import velocity_at_gaussian, velocity_on_tokens

pytestmark = pytest.mark.usefixtures("x64")
D, K = 3, 2


def matrices(rng, *, biases=True, size=0.5) -> dict:
    """B, V and both biases, dense and without symmetry."""
    drawn = {"B": size * rng.standard_normal((D, D)), "V": rng.standard_normal((D, D))}
    names = ("query_bias", "value_bias") if biases else ()
    return drawn | {name: 0.4 * rng.standard_normal(D) for name in names}


def measure(rng, kind: str):
    """The same mean and covariance of full rank as a Gaussian or as Moments, and its factor."""
    mean, factor = rng.standard_normal(D), 0.4 * rng.standard_normal((D, 3))
    return (Gaussian(mean, factor) if kind == "factor" else Moments(mean, factor @ factor.T)), factor


@pytest.mark.parametrize("biases", [False, True])
def test_the_velocity_on_tokens_is_the_weighted_sum_written_out(rng, biases):
    parameters, points, tokens = matrices(rng, biases=biases), rng.standard_normal((4, D)), rng.standard_normal((6, D))
    found = SoftmaxAttention(**parameters).velocity(points, tokens)
    wanted = [velocity_on_tokens(points=tokens, x=x, **parameters) for x in points]
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_huge_logits_do_not_overflow(rng):
    parameters, tokens = matrices(rng), 100 * rng.standard_normal((6, D))
    found = SoftmaxAttention(**parameters).velocity(tokens, tokens)
    wanted = [velocity_on_tokens(points=tokens, x=x, **parameters) for x in tokens]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("kind", ["factor", "covariance"])
@pytest.mark.parametrize("biases", [False, True])
def test_the_affine_map_at_a_gaussian_is_the_softmax_average_over_it(rng, kind, biases):
    parameters = matrices(rng, biases=biases)
    gaussian, factor = measure(rng, kind)
    affine = SoftmaxAttention(**parameters).at_gaussian(gaussian)
    assert affine.exact
    for x in rng.standard_normal((3, D)):
        wanted = velocity_at_gaussian(mean=gaussian.mean, factor=factor, x=x, **parameters)
        np.testing.assert_allclose(affine.linear() @ x + affine.offset, wanted, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", ["factor", "covariance"])
def test_the_linear_part_is_the_derivative_of_the_softmax_average(rng, kind):
    parameters = matrices(rng)
    gaussian, factor = measure(rng, kind)
    linear = np.asarray(SoftmaxAttention(**parameters).at_gaussian(gaussian).linear())
    x, step = rng.standard_normal(D), 1e-5
    for j, e in enumerate(np.eye(D)):
        ahead, behind = (
            velocity_at_gaussian(mean=gaussian.mean, factor=factor, x=x + s * e, **parameters) for s in (step, -step)
        )
        np.testing.assert_allclose(linear[:, j], (ahead - behind) / (2 * step), rtol=1e-7, atol=1e-9)


def test_a_singular_gaussian_and_a_dirac_mass_have_their_maps(rng):
    parameters, mean, x = matrices(rng), rng.standard_normal(D), rng.standard_normal(D)
    layer, column = SoftmaxAttention(**parameters), 0.5 * rng.standard_normal((D, 1))
    line = layer.at_gaussian(Gaussian(mean, column))
    wanted = velocity_at_gaussian(mean=mean, factor=column, x=x, **parameters)
    np.testing.assert_allclose(line.linear() @ x + line.offset, wanted, rtol=1e-10)
    point = layer.at_gaussian(Gaussian(mean, np.zeros((D, 0))))
    np.testing.assert_allclose(point.linear() @ x + point.offset, velocity_on_tokens(points=[mean], x=x, **parameters))


@pytest.mark.parametrize("scale", [None, 0.3, -1.7])
def test_query_and_key_matrices_mean_the_scaled_product_of_query_and_key(rng, scale):
    """The logit of key y for query x is scale (Q x + bias) . (K y), written out in loops."""
    Q, K_, V = rng.standard_normal((K, D)), rng.standard_normal((K, D)), rng.standard_normal((D, D))
    bias, value_bias = rng.standard_normal(K), rng.standard_normal(D)
    points, tokens = rng.standard_normal((2, D)), rng.standard_normal((5, D))
    layer = SoftmaxAttention.from_qk(Q, K_, V, scale=scale, query_bias=bias, value_bias=value_bias)
    factor = K**-0.5 if scale is None else scale
    wanted = []
    for x in points:
        query = [sum(Q[i, j] * x[j] for j in range(D)) + bias[i] for i in range(K)]
        keys = [[sum(K_[i, j] * y[j] for j in range(D)) for i in range(K)] for y in tokens]
        weights = np.exp([factor * sum(q * k for q, k in zip(query, key, strict=True)) for key in keys])
        average = sum(w * y for w, y in zip(weights / weights.sum(), tokens, strict=True))
        wanted.append(V @ average + value_bias)
    np.testing.assert_allclose(layer.velocity(points, tokens), wanted, rtol=1e-12)
    assert isinstance(layer.B, LowRank)
    assert layer.dim == D


def test_a_key_bias_would_cancel(rng):
    """Shifting all keys by a constant changes no weight: this is why it is no parameter."""
    parameters, tokens = matrices(rng, biases=False), rng.standard_normal((5, D))
    shifted = velocity_on_tokens(parameters["B"], np.eye(D), tokens + 2.0, tokens[0]) - 2.0
    plain = velocity_on_tokens(parameters["B"], np.eye(D), tokens, tokens[0])
    np.testing.assert_allclose(shifted, plain)


@pytest.mark.parametrize("kind", ["factor", "covariance"])
@pytest.mark.parametrize("which", ["B", "V"])
def test_a_low_rank_parameter_is_its_dense_matrix(rng, kind, which):
    left, right = rng.standard_normal((D, K)), rng.standard_normal((K, D))
    parameters = matrices(rng)
    gaussian, _ = measure(rng, kind)
    tokens = rng.standard_normal((4, D))
    slim = SoftmaxAttention(**{**parameters, which: LowRank(left, right)})
    full = SoftmaxAttention(**{**parameters, which: left @ right})
    np.testing.assert_allclose(slim.velocity(tokens, tokens), full.velocity(tokens, tokens), rtol=1e-12)
    one, two = slim.at_gaussian(gaussian), full.at_gaussian(gaussian)
    np.testing.assert_allclose(one.linear(), two.linear(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(one.offset, two.offset, rtol=1e-12)


@pytest.mark.parametrize("kind", ["factor", "covariance"])
@pytest.mark.parametrize("which", ["B", "V"])
def test_a_number_means_that_multiple_of_the_identity_and_stays_a_number(rng, kind, which):
    parameters = matrices(rng)
    gaussian, _ = measure(rng, kind)
    tokens = rng.standard_normal((4, D))
    slim = SoftmaxAttention(**{**parameters, which: -0.6})
    full = SoftmaxAttention(**{**parameters, which: -0.6 * np.eye(D)})
    assert getattr(slim, which).ndim == 0
    np.testing.assert_allclose(slim.velocity(tokens, tokens), full.velocity(tokens, tokens), rtol=1e-12)
    one, two = slim.at_gaussian(gaussian), full.at_gaussian(gaussian)
    np.testing.assert_allclose(one.linear(), two.linear(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(one.offset, two.offset, rtol=1e-12)


def test_numbers_only_leave_the_dimension_open():
    assert SoftmaxAttention(B=1.0, V=-2.0).dim is None
    assert Affine(A=0.5).dim is None
    assert SoftmaxAttention(B=1.0, V=-2.0, value_bias=[1.0, 2.0]).dim == 2


@pytest.mark.parametrize("kind", ["factor", "covariance"])
def test_the_affine_feed_forward_is_blind_to_the_measure(rng, kind):
    A, b, points = rng.standard_normal((D, D)), rng.standard_normal(D), rng.standard_normal((4, D))
    layer = Affine(A=A, b=b)
    wanted = [[sum(A[i, j] * x[j] for j in range(D)) + b[i] for i in range(D)] for x in points]
    np.testing.assert_allclose(layer.velocity(points, 7 * points), wanted, rtol=1e-13)
    affine = layer.at_gaussian(measure(rng, kind)[0])
    np.testing.assert_allclose(affine.linear(), A)
    np.testing.assert_allclose(affine.offset, b)
    assert np.all(np.asarray(Affine(A=A).at_gaussian(measure(rng, kind)[0]).offset) == 0)


def test_a_layer_is_differentiable_in_its_parameters_inside_jit(rng):
    tokens = rng.standard_normal((4, D))
    V, B = rng.standard_normal((D, D)), rng.standard_normal((D, D))

    def total(B):
        return SoftmaxAttention(B=B, V=V).velocity(tokens, tokens).sum()

    slope = jax.jit(jax.grad(total))(B)
    change = 1e-6 * rng.standard_normal((D, D))
    np.testing.assert_allclose(np.sum(slope * change), (total(B + change) - total(B - change)) / 2, rtol=1e-6)


SQUARE, OTHER = np.ones((3, 3)), np.ones((2, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftmaxAttention(B=SQUARE, V=OTHER), r"share one dimension d: `B` has d = 3, `V` has d = 2"),
        (lambda: SoftmaxAttention(B=np.ones((2, 3)), V=1.0), r"`B` must be square: shape \(2, 3\)"),
        (lambda: SoftmaxAttention(B=1.0, V=[1.0, 2.0]), r"`V` must be a number or a matrix"),
        (lambda: SoftmaxAttention(B=np.nan, V=1.0), r"`B` must be finite"),
        (lambda: SoftmaxAttention(B=SQUARE, V=1.0, query_bias=[1.0, 2.0]), r"`query_bias` has d = 2"),
        (lambda: SoftmaxAttention(B=SQUARE, V=1.0, value_bias=1.0), r"`value_bias` must be a vector"),
        (lambda: SoftmaxAttention.from_qk(np.ones((2, 3)), np.ones((3, 2)), 1.0), r"`K` must have shape \(2, 3\)"),
        (lambda: SoftmaxAttention.from_qk(np.ones(3), np.ones(3), 1.0), r"`Q` must be a matrix"),
        (
            lambda: SoftmaxAttention.from_qk(np.ones((2, 3)), np.ones((2, 3)), 1.0, query_bias=[1.0, 2.0, 3.0]),
            r"`query_bias` must have shape \(2,\) to agree with `Q`",
        ),
        (lambda: SoftmaxAttention.from_qk(np.ones((2, 3)), np.ones((2, 3)), OTHER), r"`V` has d = 2"),
        (
            lambda: SoftmaxAttention.from_qk(np.ones((2, 3)), np.ones((2, 3)), 1.0, scale=np.nan),
            r"`scale` must be fini",
        ),
        (
            lambda: SoftmaxAttention(B=LowRank(np.ones((3, 1)), np.ones((1, 2))), V=1.0),
            r"`B\.right` must have shape \(1, 3\)",
        ),
        (
            lambda: SoftmaxAttention(B=LowRank(np.ones((3, 1)), np.ones((2, 3))), V=1.0),
            r"`B\.right` must have shape \(1, 3\)",
        ),
        (
            lambda: SoftmaxAttention(B=LowRank(np.full((3, 1), np.nan), np.ones((1, 3))), V=1.0),
            r"`B\.left` must be finite",
        ),
        (lambda: Affine(A=SQUARE, b=[1.0, 2.0]), r"`A` has d = 3, `b` has d = 2"),
        (lambda: Affine(A=np.ones((2, 3))), r"`A` must be square"),
        (lambda: Affine(A=SQUARE, b=[np.inf, 0, 0]), r"`b` must be finite"),
        (lambda: Transformer(attention=SoftmaxAttention(B=SQUARE, V=1.0), feedforward=Affine(A=OTHER)), r"`feedforwar"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(BadInput, match=message):
        make()
