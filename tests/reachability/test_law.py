"""Control laws: the same in NumPy and in JAX, differentiable, and models that the flow takes."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from attnflow.reachability.constructions import ConstantControls, McCann, PaperConstruction, Rotation
from attnflow.reachability.law import Constant, Controls, Steps

CONSTRUCTIONS = [Rotation(), ConstantControls(), McCann(), PaperConstruction()]
END, b = 2.0, np.array([0.5, -1.0, 0.25])


def law_of(construction, rng):
    return construction.law(construction.path(rng.normal(size=(3, 2)), rng.normal(size=(3, 2))), END, b)


@pytest.mark.parametrize("construction", CONSTRUCTIONS, ids=lambda c: type(c).__name__)
def test_controls_in_jax_are_those_in_numpy(construction, rng, x64):
    law = law_of(construction, rng)
    traced = jax.jit(lambda t: tuple(law.controls(t)))
    for t in (0.0, 0.7, END, 3.0):
        for ours, theirs in zip(traced(jnp.asarray(t)), law.controls(t), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)
    past = law.controls(5.0)
    np.testing.assert_array_equal(past.A, law.controls(END).A)


def test_a_gradient_passes_from_the_energy_of_a_law_to_its_rates(rng, x64):
    """|V|^2 T^2 = |Omega|^2 + |K|^2: the derivative by a rate is twice that rate."""
    law = law_of(Rotation(), rng)

    def speed(rates):
        bent = eqx.tree_at(lambda one: one.path.rates, law, rates)
        return END**2 * jnp.sum(jnp.square(bent.controls(jnp.asarray(0.6)).V))

    rates = jnp.asarray(law.path.rates)
    np.testing.assert_allclose(jax.grad(speed)(rates), 2.0 * rates, rtol=1e-12)


def test_a_gradient_passes_from_the_end_of_a_path_to_its_rates(rng, x64):
    """Against differences of the formula L(1) = e^Omega e^K L(0) in SciPy."""
    start, weights = rng.normal(size=(3, 2)), rng.normal(size=(3, 3))
    path = Rotation().path(start, rng.normal(size=(3, 2)))

    def end(rates):
        factor = eqx.tree_at(lambda p: p.rates, path, rates).factor(jnp.asarray(1.0))
        return jnp.sum(weights * (factor @ factor.T))

    def formula(rates):
        M = expm(path.planes.logarithm()) @ expm((path.axes * rates) @ path.axes.T)
        return np.sum(weights * (M @ start @ start.T @ M.T))

    rates = np.asarray(path.rates)
    slopes = [(formula(rates + h) - formula(rates - h)) / 2e-5 for h in 1e-5 * np.eye(2)]
    np.testing.assert_allclose(jax.grad(end)(jnp.asarray(rates)), slopes, rtol=1e-7)


def test_steps_jump_at_their_edges_and_hold_at_the_ends(rng):
    rows = Controls(*(rng.normal(size=shape) for shape in ((3, 2, 2), (3, 2, 2), (3, 2, 2), (3, 2))))
    law = Steps(np.array([0.0, 0.5, 0.75, 2.0]), rows)
    assert law.jumps == (0.5, 0.75)
    for t, i in ((0.0, 0), (0.49, 0), (0.5, 1), (0.75, 2), (1.9, 2), (2.0, 2), (9.0, 2)):
        np.testing.assert_array_equal(law.controls(t).V, rows.V[i])
    layer = law.model().at(0.6)
    np.testing.assert_array_equal(layer.feedforward.A, rows.A[1])


@pytest.mark.parametrize("construction", CONSTRUCTIONS, ids=lambda c: type(c).__name__)
def test_the_model_is_one_softmax_head_and_an_affine_layer_with_the_controls(construction, rng, x64):
    law = law_of(construction, rng)
    model = law.model()
    layer = model if isinstance(law, Constant) else model.at(0.7)
    for ours, theirs in zip((layer.feedforward.A, layer.feedforward.b), (law.controls(0.7).A, b), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
