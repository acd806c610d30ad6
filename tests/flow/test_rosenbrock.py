"""Rodas5P: its order conditions from rooted trees, its order and stability on problems with known solutions."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from attnflow.flow.many.block_lu import factorised, solved
from attnflow.flow.many.rosenbrock import COUPLING, GAMMA, STAGES, Jacobian, rosenbrock_step

pytestmark = pytest.mark.usefixtures("x64")


def untransformed():
    """alpha, beta = alpha + Gamma, b and the embedded b of the method in its textbook form."""
    s = len(STAGES)
    a, c = np.zeros((s, s)), np.zeros((s, s))
    for i in range(s):
        a[i, :i], c[i, :i] = STAGES[i], COUPLING[i]
    gamma = np.linalg.inv(np.eye(s) / GAMMA - c)  # u = Gamma k, and C = diag(1 / gamma) - Gamma^-1
    b_hat = a[-1]  # the state in the last stage
    b = b_hat + np.eye(s)[-1]
    return a @ gamma, a @ gamma + gamma, b @ gamma, b_hat @ gamma


def trees(order):
    """Rooted trees with `order` nodes as sorted tuples of subtrees."""
    if order == 1:
        return {()}
    found = set()
    for parts in partitions(order - 1):
        for children in itertools.product(*(sorted(trees(p)) for p in parts)):
            found.add(tuple(sorted(children)))
    return found


def partitions(n, largest=None):
    largest = n if largest is None else largest
    if n == 0:
        return [()]
    return [(k, *rest) for k in range(min(n, largest), 0, -1) for rest in partitions(n - k, k)]


def size(tree):
    return 1 + sum(size(child) for child in tree)


def density(tree):
    return size(tree) * int(np.prod([density(child) for child in tree], initial=1))


def weights(tree, alpha, beta):
    """The elementary weight of a Rosenbrock method: a single child is reached through beta, several through alpha."""
    if not tree:
        return np.ones(len(alpha))
    through = beta if len(tree) == 1 else alpha
    return np.prod([through @ weights(child, alpha, beta) for child in tree], axis=0)


def defects(b, order, alpha, beta):
    return [abs(b @ weights(tree, alpha, beta) - 1 / density(tree)) for tree in sorted(trees(order))]


@pytest.mark.parametrize(("order", "count"), [(1, 1), (2, 1), (3, 2), (4, 4), (5, 9)])
def test_the_order_conditions_hold_up_to_five(order, count):
    alpha, beta, b, b_hat = untransformed()
    found = defects(b, order, alpha, beta)
    assert len(found) == count
    assert max(found) < 1e-12
    if order < 5:
        assert max(defects(b_hat, order, alpha, beta)) < 1e-12
    else:
        assert max(defects(b_hat, order, alpha, beta)) > 1e-5


def test_it_is_stiffly_accurate_and_its_stability_function_vanishes_at_infinity():
    _, beta, b, _ = untransformed()
    assert np.allclose(b, beta[-1], atol=1e-13)

    def stability(z):
        s = len(b)
        return 1 + z * b @ np.linalg.solve(np.eye(s) - z * beta, np.ones(s))

    assert abs(stability(-1e9)) < 1e-6
    for y in np.geomspace(1e-2, 1e4, 60):
        assert abs(stability(1j * y)) <= 1 + 1e-9


def logistic(y):
    return jnp.stack([y[0] * (1 - y[1]) - 0.3 * y[0] ** 2, y[1] * (y[0] - 0.5)])


def advance(rate, y, h, count):
    each = jax.jit(
        lambda y, h: rosenbrock_step(rate, Jacobian(jax.vmap(jax.jacfwd(rate), -1, -1)(y)), y, rate(y), h).state
    )
    for _ in range(count):
        y = each(y, h)
    return y


def test_halving_the_step_divides_the_error_by_thirty_two():
    start = jnp.array([[0.7, 1.1], [0.4, 0.9]])
    fine = advance(logistic, start, jnp.full(2, 2.0 / 1024), 1024)
    errors = [float(jnp.abs(advance(logistic, start, jnp.full(2, 2.0 / n), n) - fine).max()) for n in (8, 16, 32)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(orders - 5) < 0.5)


def test_every_system_has_its_own_step():
    A = np.array([[-1.0, 2.0], [0.3, -0.7]])
    h = np.array([0.01, 0.03, 0.05])
    start = np.array([[1.0, 0.5, -1.0], [0.2, 2.0, 1.0]])
    found = advance(lambda y: jnp.asarray(A) @ y, jnp.asarray(start), jnp.asarray(h), 1)
    for i in range(3):
        np.testing.assert_allclose(found[:, i], expm(h[i] * A) @ start[:, i], rtol=1e-8)


def test_a_stiff_component_is_damped_in_one_long_step():
    A = np.diag([-1e8, -0.1])
    found = advance(lambda y: jnp.asarray(A) @ y, jnp.ones((2, 1)), jnp.array([0.5]), 1)
    assert abs(float(found[0, 0])) < 1e-5
    assert abs(float(found[1, 0]) - np.exp(-0.05)) < 1e-8


def test_known_zero_blocks_give_the_step_of_the_full_jacobian(rng):
    J = rng.standard_normal((5, 5, 3))
    J[:3, 3:] = 0.0
    state, slope = rng.standard_normal((2, 5, 3))
    h = jnp.array([0.1, 0.5, 2.0])

    def rate(y):
        return jnp.einsum("ijn,jn->in", J, y) + 0.1 * slope

    parts = Jacobian(jnp.asarray(J[:3, :3]), jnp.asarray(J[3:, :3]), jnp.asarray(J[3:, 3:]))
    one, two = (
        rosenbrock_step(rate, j, jnp.asarray(state), jnp.asarray(slope), h) for j in (Jacobian(jnp.asarray(J)), parts)
    )
    np.testing.assert_allclose(one.state, two.state, rtol=1e-10)
    np.testing.assert_allclose(one.error, two.error, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 7, 9, 12, 41])
def test_batched_elimination_solves_what_lapack_solves(m, rng):
    matrices = np.eye(m)[:, :, None] + 0.4 / np.sqrt(m) * rng.standard_normal((m, m, 6))
    right = rng.standard_normal((m, 6))
    found = jax.jit(lambda a, b: solved(factorised(a), b))(matrices, right)
    expected = np.linalg.solve(np.moveaxis(matrices, -1, 0), right.T[:, :, None])[:, :, 0].T
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11)
