from __future__ import annotations

import numpy as np
import pytest

from attnflow import BadInput, Gaussian, LinearAttention, LowRank
from attnflow.measures.gaussian import Moments
from oracles.kinds import at_gaussian, draw, on_tokens

pytestmark = pytest.mark.usefixtures("x64")
D = 3


@pytest.mark.parametrize("biases", [False, True])
def test_the_velocity_on_tokens_is_the_weighted_sum_written_out(rng, biases):
    p, points, tokens = draw("linear", rng, D, biases=biases), rng.standard_normal((4, D)), rng.standard_normal((6, D))
    found = LinearAttention(**p).velocity(points, tokens)
    np.testing.assert_allclose(found, on_tokens("linear", p, points, tokens), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("which", ["B", "V"])
@pytest.mark.parametrize("form", ["number", "low rank"])
def test_a_number_or_a_low_rank_parameter_is_its_matrix(rng, which, form):
    p, tokens = draw("linear", rng, D), rng.standard_normal((5, D))
    left, right = rng.standard_normal((D, 2)), rng.standard_normal((2, D))
    slim, full = (-0.6, -0.6 * np.eye(D)) if form == "number" else (LowRank(left, right), left @ right)
    layer, q = LinearAttention(**(p | {which: slim})), p | {which: full}
    seen = on_tokens("linear", q, tokens, tokens)
    np.testing.assert_allclose(layer.velocity(tokens, tokens), seen, rtol=1e-12, atol=1e-13)
    for measure in (Gaussian(tokens[0], tokens[1:3].T), Moments(tokens[0], tokens[1:4].T @ tokens[1:4])):
        factor = tokens[1:3].T if isinstance(measure, Gaussian) else tokens[1:4].T
        affine = layer.at_gaussian(measure)
        wanted = at_gaussian("linear", q, tokens, tokens[0], factor, nodes=6)
        np.testing.assert_allclose(tokens @ affine.linear().T + affine.offset, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("r", [0, 1, 3])
def test_the_affine_map_at_a_gaussian_is_the_average_over_it(rng, r, biases):
    p, points = draw("linear", rng, D, biases=biases), rng.standard_normal((3, D))
    mean, factor = rng.standard_normal(D), rng.standard_normal((D, r))
    wanted = at_gaussian("linear", p, points, mean, factor, nodes=6)
    for measure in (Gaussian(mean, factor), Moments(mean, factor @ factor.T)):
        affine = LinearAttention(**p).at_gaussian(measure)
        assert affine.exact
        np.testing.assert_allclose(points @ affine.linear().T + affine.offset, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"B": np.ones((2, 3))}, r"`B` must be square"),
        ({"V": np.ones((2, 2))}, r"`B` has d = 3, `V` has d = 2"),
        ({"query_bias": np.ones(2)}, r"`query_bias` has d = 2"),
        ({"value_bias": [np.inf, 0.0, 0.0]}, r"`value_bias` must be finite"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(BadInput, match=message):
        LinearAttention(**({"B": np.ones((3, 3)), "V": 1.0} | arguments))
