"""`evolve` against SciPy's replay: values, gradients, jit, vmap, float32 and blow-up.

One compiled function a kind of model serves all tests; d = 3, three times, rank 2 or 3.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow import Affine, Depth, Gaussian, SoftmaxAttention, Trajectory, Transformer, evolve
from oracles.replay import blow_up_time, replay_moments

D, TS, SWITCH, LATER = 3, np.array([0.3, 0.7, 1.0]), 0.45, 0.6
NAMES = ("A", "B", "V", "b", "mean", "factor")
RANK = {"scalar": 2, "matrix": 2, "piecewise": 3, "interpolated": 2, "function": 2}
KINDS = list(RANK)


def numbers(kind: str, seed: int = 5) -> dict[str, np.ndarray]:
    """Parameters and start, nonsymmetric; V is a number for the kind `scalar`."""
    rng = np.random.default_rng(seed)
    V = np.asarray(-0.6) if kind == "scalar" else 0.4 * rng.standard_normal((D, D))
    A, B = (0.4 * rng.standard_normal((D, D)) for _ in range(2))
    b, mean = rng.standard_normal((2, D))
    return {"A": A, "B": B, "V": V, "b": b, "mean": mean, "factor": 0.5 * rng.standard_normal((D, RANK[kind]))}


def layer(p, share=1.0) -> Transformer:
    return Transformer(SoftmaxAttention(B=share * p["B"], V=p["V"]), Affine(A=p["A"], b=share * p["b"]))


def model(kind: str, p):
    """A model of this kind; those that change with depth go from `layer(p)` to `layer(p, LATER)`."""
    if kind == "piecewise":
        return Depth.piecewise([layer(p), layer(p, LATER)], [0.0, SWITCH])
    if kind == "interpolated":
        return Depth.interpolated([layer(p), layer(p, LATER)], [0.0, 1.0])
    if kind == "function":
        return Depth.function(lambda t: layer(p, 1.0 + (LATER - 1.0) * t))
    return layer(p)


def share(kind: str, t: float) -> float:
    """The factor on B and b at time t."""
    if kind == "piecewise":
        return 1.0 if t < SWITCH else LATER
    return 1.0 + (LATER - 1.0) * t if kind in ("interpolated", "function") else 1.0


def flow(kind: str, p, ts) -> af.Trajectory:
    return evolve(model(kind, p), Gaussian.from_factor(p["mean"], p["factor"]), ts, rtol=1e-10)


def oracle(kind: str, p, ts=TS) -> tuple[np.ndarray, np.ndarray]:
    """The moments by SciPy, from formulas that share nothing with the package."""
    V = p["V"] * np.eye(D) if np.ndim(p["V"]) == 0 else p["V"]

    def at(t):
        s = share(kind, t)
        return p["A"], s * p["b"], [(s * p["B"], V, None, None)]

    return replay_moments(at, p["mean"], p["factor"], ts, breaks=[SWITCH] if kind == "piecewise" else ())


def weights() -> tuple[np.ndarray, np.ndarray]:
    """Fixed weights of all entries of the moments at all times."""
    rng = np.random.default_rng(99)
    return rng.standard_normal((3, D)), rng.standard_normal((3, D, D))


def score(mean, cov):
    on_mean, on_cov = weights()
    return (on_mean * mean).sum() + (on_cov * cov).sum()


def quick(function):
    """jit with a compiler that hurries: these programs run for a few milliseconds only."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def compiled(kind: str):
    """(parameters, ts) -> ((score, trajectory as a dict), gradients), compiled once for all tests."""

    def loss(p, ts):
        out = flow(kind, p, ts)
        return score(out.mean, out.cov), {"mean": out.mean, "cov": out.cov, "reached": out.reached}

    return quick(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


def run(kind: str, p, ts=TS):
    (_, out), gradients = compiled(kind)(p, ts)
    return out, gradients


def assert_all_finite(tree) -> None:
    for leaf in jax.tree.leaves(tree):
        assert np.all(np.isfinite(leaf))


def assert_gradients_match(kind: str, p, gradients, names=NAMES) -> None:
    """Directional derivatives of the oracle's score by central differences."""
    rng = np.random.default_rng(7)
    for name in names:
        change = 1e-5 * rng.standard_normal(np.shape(p[name]))
        ahead, behind = (score(*oracle(kind, p | {name: p[name] + s * change})) for s in (1, -1))
        np.testing.assert_allclose(np.sum(gradients[name] * change), (ahead - behind) / 2, rtol=2e-6, atol=1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", KINDS)
class TestEveryKindOfModel:
    def test_the_moments_are_those_of_the_replay(self, kind):
        p = numbers(kind)
        out, _ = run(kind, p)
        mean, cov = oracle(kind, p)
        assert out["reached"].all()
        np.testing.assert_allclose(out["mean"], mean, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(out["cov"], cov, rtol=1e-8, atol=1e-9)

    def test_the_gradient_is_that_of_finite_differences_of_the_replay(self, kind):
        p = numbers(kind)
        _, (gradients, _) = run(kind, p)
        assert_gradients_match(kind, p, gradients)

    def test_the_gradient_by_the_times_is_the_rate_of_the_moments(self, kind):
        p = numbers(kind)
        _, (_, by_time) = run(kind, p)
        for i, step in enumerate(1e-5 * np.eye(3)):
            ahead, behind = (score(*oracle(kind, p, TS + s * step)) for s in (1, -1))
            np.testing.assert_allclose(by_time[i], (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-6)

    def test_a_blow_up_among_the_times_is_masked_and_nothing_is_ever_non_finite(self, kind):
        p = numbers(kind) | {"B": 1.5 * np.eye(D) + 0.3 * numbers(kind)["B"]}
        p["V"] = np.asarray(1.0) if kind == "scalar" else np.eye(D) + 0.3 * p["V"]
        p["factor"] = 1.5 * np.random.default_rng(2).standard_normal((D, RANK[kind]))
        V = p["V"] * np.eye(D) if kind == "scalar" else p["V"]
        finish = blow_up_time((p["A"], p["b"], [(p["B"], V, None, None)]), p["factor"])
        assert finish < SWITCH / 3  # before the parameters jump
        for ts, reached in [([0.3, 0.8, 2.0], [True, True, False]), ([2.0, 3.0, 4.0], [False, False, False])]:
            # models that change with depth blow up a little later than `finish`
            out, gradients = run(kind, p, finish * np.array(ts))
            assert out["reached"].tolist() == reached
            assert_all_finite(out)
            assert_all_finite(gradients)


@pytest.mark.usefixtures("x64")
def test_after_a_blow_up_the_gradient_is_that_of_the_times_before_it():
    p = numbers("scalar") | {"V": np.asarray(1.0), "B": 1.5 * np.eye(D) + 0.3 * numbers("scalar")["B"]}
    ts = blow_up_time((p["A"], p["b"], [(p["B"], np.eye(D), None, None)]), p["factor"]) * np.array([0.2, 0.5, 1.5])

    def early(A):
        _, cov = oracle("scalar", p | {"A": A}, ts[:2])
        return (weights()[1][:2] * cov).sum() + (weights()[1][2] * cov[1]).sum()

    out, _ = run("scalar", p, ts)
    np.testing.assert_array_equal(out["cov"][2], out["cov"][1])
    slope = quick(jax.grad(lambda A: (weights()[1] * flow("scalar", p | {"A": A}, ts).cov).sum()))(p["A"])
    change = 1e-6 * np.random.default_rng(3).standard_normal((D, D))
    np.testing.assert_allclose(np.sum(slope * change), (early(p["A"] + change) - early(p["A"] - change)) / 2, rtol=1e-5)


@pytest.mark.usefixtures("x64")
def test_it_agrees_with_simulate():
    kind, p = "matrix", numbers("matrix")
    out, _ = run(kind, p)
    friendly = af.simulate(model(kind, p), Gaussian.from_factor(p["mean"], p["factor"]), TS, rtol=1e-10)
    np.testing.assert_allclose(out["mean"], friendly.mean, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(out["cov"], friendly.cov, rtol=1e-8, atol=1e-9)


@pytest.mark.usefixtures("x64")
class TestStarts:
    def test_dependent_columns_of_a_square_factor_are_a_singular_start(self):
        p = numbers("piecewise")
        p["factor"][:, 2] = p["factor"] @ [0.5, -1.0, 0.0]
        out, (gradients, _) = run("piecewise", p)
        mean, cov = oracle("piecewise", p)
        np.testing.assert_allclose(out["mean"], mean, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(out["cov"], cov, rtol=1e-8, atol=1e-9)
        assert_gradients_match("piecewise", p, gradients)
        factor = Trajectory(TS, out["mean"], out["reached"], out["cov"], True).factor
        np.testing.assert_allclose(factor @ np.swapaxes(factor, 1, 2), cov, rtol=1e-7, atol=1e-8)

    def test_a_covariance_that_becomes_ill_conditioned_is_handed_over(self):
        p = numbers("piecewise") | {"A": np.array([[2.0, 1.0, 0.0], [0.0, -9.0, 1.0], [0.5, 0.0, -7.0]])}
        out, (gradients, _) = run("piecewise", p)
        mean, cov = oracle("piecewise", p)
        assert np.linalg.cond(cov[-1]) > 1e6
        np.testing.assert_allclose(out["mean"], mean, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(out["cov"], cov, rtol=1e-7, atol=1e-8)
        assert np.linalg.eigvalsh(out["cov"]).min() > -1e-14
        assert_gradients_match("piecewise", p, gradients)

    def test_a_factor_of_zeros_stays_at_zero_with_finite_gradients(self):
        for kind in ("scalar", "matrix"):
            out, gradients = run(kind, numbers(kind) | {"factor": np.zeros((D, 2))})
            np.testing.assert_array_equal(out["cov"], 0)
            assert_all_finite(gradients)

    def test_a_dirac_mass_moves_its_mean_only(self):
        p = numbers("scalar") | {"factor": np.zeros((D, 0))}
        out = flow("scalar", p, TS)
        wanted, _ = replay_moments((p["A"] + p["V"] * np.eye(D), p["b"], []), p["mean"], np.zeros((D, 1)), TS)
        np.testing.assert_allclose(out.mean, wanted, rtol=1e-8)
        assert out.cov.shape == (3, D, D)
        assert not np.any(out.cov)


@pytest.mark.usefixtures("x64")
class TestBatches:
    """vmap is a loop."""

    @pytest.mark.parametrize("kind", ["scalar", "matrix"])
    @pytest.mark.parametrize("batched", [("mean", "factor"), ("A",)])
    def test_a_batch_is_a_loop(self, kind, batched):
        batch = [numbers(kind, seed) for seed in (5, 6, 7)]
        p = numbers(kind) | {name: np.stack([q[name] for q in batch]) for name in batched}
        axes = {name: 0 if name in batched else None for name in NAMES}
        many = quick(jax.vmap(lambda q: flow(kind, q, TS), in_axes=(axes,)))(p)
        for i, q in enumerate(batch):
            one, _ = run(kind, numbers(kind) | {name: q[name] for name in batched})
            np.testing.assert_allclose(many.mean[i], one["mean"], rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(many._columns[i] @ many._columns[i].mT, one["cov"], rtol=1e-9, atol=1e-10)

    def test_a_blow_up_in_a_batch_leaves_the_others_alone(self):
        quiet = numbers("scalar") | {"V": np.asarray(0.5), "B": np.eye(D) + 0.3 * numbers("scalar")["B"]}
        factors = np.stack([0.1 * quiet["factor"], 6.0 * quiet["factor"], 0.2 * quiet["factor"]])
        many = quick(jax.vmap(lambda L: flow("scalar", quiet | {"factor": L}, TS)))(factors)
        assert many.reached.all(axis=1).tolist() == [True, False, True]
        assert_all_finite(many)
        for i in (0, 2):
            one, _ = run("scalar", quiet | {"factor": factors[i]})
            np.testing.assert_allclose(many.mean[i], one["mean"], rtol=1e-9, atol=1e-10)

    def test_a_batch_of_gradients_is_a_loop_of_gradients(self):
        batch = [numbers("matrix", seed) for seed in (5, 6)]
        stacked = {name: np.stack([q[name] for q in batch]) for name in NAMES}
        many = quick(jax.vmap(jax.grad(lambda q: score(*moments_of("matrix", q)))))(stacked)
        for i, q in enumerate(batch):
            _, (one, _) = run("matrix", q)
            for name in NAMES:
                np.testing.assert_allclose(many[name][i], one[name], rtol=1e-6, atol=1e-8)


def moments_of(kind: str, p):
    out = flow(kind, p, TS)
    return out.mean, out.cov


@pytest.mark.parametrize(("kind", "double"), [("scalar", False), ("scalar", True), ("piecewise", False)])
def test_float32_input_stays_float32(kind, double):
    with jax.enable_x64(double):
        p = {name: jnp.asarray(value, jnp.float32) for name, value in numbers(kind).items()}
        start = Gaussian.from_factor(p["mean"], p["factor"])
        out = quick(functools.partial(evolve, rtol=1e-5))(model(kind, p), start, TS)
        for found in (out.ts, out.mean, out.cov, out.factor):
            assert found.dtype == jnp.float32
        mean, cov = oracle(kind, numbers(kind))
        np.testing.assert_allclose(out.mean, mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(out.cov, cov, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("x64")
def test_a_small_budget_ends_the_trajectory_early():
    p = numbers("matrix")
    start = Gaussian.from_factor(p["mean"], p["factor"])
    out = evolve(model("matrix", p), start, np.array([1e-3, 1.0, 50.0]), rtol=1e-12, max_steps=5)
    assert out.reached[0]
    assert not out.reached[-1]
    assert_all_finite(out)


@pytest.mark.usefixtures("x64")
def test_different_dimensions_are_refused_under_jit_as_well():
    p = numbers("matrix")
    start = Gaussian.from_factor(np.zeros(2), np.eye(2))
    for call in (evolve, jax.jit(evolve)):
        with pytest.raises(af.BadInput, match="`model` and `start` must share one dimension d: 3 and 2 were found"):
            call(model("matrix", p), start, TS)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", ["scalar", "matrix"])
def test_without_jit_the_moments_are_the_same(kind):
    p = numbers(kind)
    out, plain = run(kind, p)[0], flow(kind, p, TS)
    np.testing.assert_allclose(plain.mean, out["mean"], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(plain.cov, out["cov"], rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(plain.factor @ plain.factor.mT, plain.cov)


@pytest.mark.usefixtures("x64")
def test_model_and_start_pass_a_jit_boundary_as_pytrees():
    kind, p = "piecewise", numbers("piecewise")
    start = Gaussian.from_factor(p["mean"], p["factor"])
    out = quick(functools.partial(evolve, rtol=1e-10))(model(kind, p), start, TS)
    np.testing.assert_allclose(out.mean, run(kind, p)[0]["mean"], rtol=1e-12, atol=1e-13)
