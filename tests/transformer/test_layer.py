from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from attnflow import LowRank
from attnflow.transformer.layer import AffineMap

pytestmark = pytest.mark.usefixtures("x64")
DIM = 6

DENSE_PARTS = {
    "nothing": lambda rng: None,
    "a number": lambda rng: jnp.asarray(-0.7),
    "a matrix": lambda rng: jnp.asarray(rng.standard_normal((DIM, DIM))),
    "a low-rank matrix": lambda rng: LowRank(rng.standard_normal((DIM, 2)), rng.standard_normal((2, DIM))),
}


def as_matrix(part) -> np.ndarray:
    if part is None:
        return np.zeros((DIM, DIM))
    if isinstance(part, LowRank):
        return np.asarray(part.left) @ np.asarray(part.right)
    return np.asarray(part) * np.eye(DIM) if np.ndim(part) == 0 else np.asarray(part)


def make(rng, dense, inner) -> tuple[AffineMap, np.ndarray]:
    """A map and its matrix, with `inner` columns of low rank (None: no such part)."""
    part = DENSE_PARTS[dense](rng)
    offset = jnp.asarray(rng.standard_normal(DIM))
    if inner is None:
        return AffineMap(part, None, None, offset), as_matrix(part)
    left, right = rng.standard_normal((DIM, inner)), rng.standard_normal((inner, DIM))
    return AffineMap(part, jnp.asarray(left), jnp.asarray(right), offset), as_matrix(part) + left @ right


@pytest.mark.parametrize("dense", list(DENSE_PARTS))
@pytest.mark.parametrize("inner", [None, 1, 5])
@pytest.mark.parametrize("columns", [1, 3, 7])
def test_apply_is_the_matrix_times_the_block_in_every_branch(rng, dense, inner, columns):
    """With 5 inner columns and 7 vectors the matrix is formed; with fewer it is not."""
    affine, matrix = make(rng, dense, inner)
    block = rng.standard_normal((DIM, columns))
    np.testing.assert_allclose(affine.linear(), matrix, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(affine.apply(jnp.asarray(block)), matrix @ block, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(affine.apply(jnp.asarray(block)), affine.linear() @ block, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("one", list(DENSE_PARTS))
@pytest.mark.parametrize("two", list(DENSE_PARTS))
@pytest.mark.parametrize(("inner_one", "inner_two"), [(None, None), (2, None), (2, 3)])
def test_the_sum_of_two_maps_adds_matrices_and_offsets(rng, one, two, inner_one, inner_two):
    (f, F), (g, G) = make(rng, one, inner_one), make(rng, two, inner_two)
    for total in (f + g, g + f):
        np.testing.assert_allclose(total.linear(), F + G, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(total.offset, f.offset + g.offset)


def test_two_numbers_add_to_a_number(rng):
    total = make(rng, "a number", 1)[0] + make(rng, "a number", None)[0]
    assert total.dense.ndim == 0
    assert float(total.dense) == pytest.approx(-1.4)


def test_a_sum_is_exact_only_if_both_terms_are(rng):
    exact, _ = make(rng, "a matrix", None)
    linearised = AffineMap(exact.dense, None, None, exact.offset, exact=False)
    assert (exact + exact).exact
    assert not (exact + linearised).exact
    assert not (linearised + exact).exact
