"""The public contract of `ensemble`, with `simulate` beside it. One small shape, so that one program serves all."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnflow import Affine, BadInput, Depth, Gaussian, SoftmaxAttention, Transformer, simulate
from attnflow.doors.ensemble import Ensemble, ensemble

D, N = 2, 5


@pytest.fixture
def heads(rng) -> list[SoftmaxAttention]:
    B, V = rng.standard_normal((2, N, D, D))
    return [SoftmaxAttention(B=0.4 * b, V=v) for b, v in zip(B, V, strict=True)]


@pytest.fixture
def starts(rng) -> list[Gaussian]:
    return [
        Gaussian(m, 0.5 * L) for m, L in zip(rng.standard_normal((N, D)), rng.standard_normal((N, D, 1)), strict=True)
    ]


def test_every_field_is_numpy_and_agrees_with_simulate(heads, starts):
    found = ensemble(heads, starts, [0.0, 0.3, 0.7], rtol=1e-8)
    assert isinstance(found, Ensemble)
    assert found.status.tolist() == ["reached_end"] * N
    assert found.reached.all()
    assert found.engine == "rosenbrock"
    assert found.exact is True
    for array, shape in [(found.mean, (N, 3, D)), (found.factor, (N, 3, D, 1)), (found.cov, (N, 3, D, D))]:
        assert type(array) is np.ndarray
        assert (array.dtype, array.shape) == (np.float64, shape)
    assert found.limit_rank.shape == found.undecided.shape == found.steps.shape == found.blow_up.shape == (N,)
    assert found.blown_up.size == found.blow_up_times.size == 0
    for i in range(N):
        one = simulate(heads[i], starts[i], [0.0, 0.3, 0.7])
        np.testing.assert_allclose(found.mean[i], one.mean, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(found.cov[i], one.cov, rtol=1e-6, atol=1e-7)


def test_the_input_may_be_shared_a_sequence_or_stacked(heads, starts):
    together = Gaussian(np.stack([s.mean for s in starts]), np.stack([s.factor for s in starts]))
    with jax.enable_x64(True):
        stacked = eqx.filter_vmap(lambda b, v: SoftmaxAttention(B=b, V=v))(
            jnp.stack([jnp.asarray(h.B) for h in heads]), jnp.stack([jnp.asarray(h.V) for h in heads])
        )
    one = ensemble(heads, starts, [0.5])
    two = ensemble(stacked, together, [0.5])
    np.testing.assert_array_equal(one.factor, two.factor)
    np.testing.assert_array_equal(one.mean, two.mean)
    shared = ensemble(heads[0], starts, [0.5])
    np.testing.assert_allclose(shared.factor[0], one.factor[0], rtol=1e-6)


def test_blow_ups_are_listed_with_their_times(starts):
    models = [SoftmaxAttention(B=np.eye(D), V=eta) for eta in (1.0, -1.0, 2.0, -0.5, -3.0)]
    found = ensemble(models, starts, [0.01, 100.0])
    assert found.engine == "closed_form"
    assert found.blown_up.tolist() == [0, 2]
    exact = [1 / (2 * eta * np.sum(starts[i].factor ** 2)) for i, eta in ((0, 1.0), (2, 2.0))]
    np.testing.assert_allclose(found.blow_up_times, exact, rtol=1e-12)
    assert found.status.tolist() == ["blow_up", "reached_end"] * 2 + ["reached_end"]
    assert found.reached[:, 1].tolist() == [False, True, False, True, True]
    assert found.limit_rank.tolist() == [-1, 0, -1, 0, 0]
    assert np.all(np.isfinite(found.cov))
    assert np.all(np.isfinite(found.mean))


def test_the_dataset_and_the_repr_say_what_happened(heads, starts):
    found = ensemble(heads[0], starts, [0.5])
    data = found.to_dataset()
    assert data["cov"].dims == ("system", "time", "coord", "coord_")
    assert data["status"].values.tolist() == ["reached_end"] * N
    assert {"provenance", "engine", "rtol"} <= set(data.attrs)
    assert "\n" not in repr(found)
    for word in ("5 systems", "d = 2", "rank 1", "rosenbrock", "5 reached_end"):
        assert word in repr(found)


def test_progress_counts_systems(heads, starts):
    seen: list[float] = []
    ensemble(heads, starts, [0.5], progress=seen.append)
    assert seen[-1] == N


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts": []}, "`starts` must hold at least one Gaussian"),
        ({"starts": 3}, "`starts` must be a sequence of Gaussians"),
        (
            {"starts": [Gaussian(np.zeros(D), np.eye(D)), Gaussian(np.zeros(D), np.ones((D, 1)))]},
            r"`starts\[1\]` must have",
        ),
        ({"starts": [1.0] * N}, r"`starts\[0\]` must be a Gaussian"),
        ({"starts": Gaussian(np.zeros(D), np.eye(D))}, "`starts.mean` must be a matrix"),
        ({"starts": Gaussian(np.zeros((N, 3)), np.zeros((N, D, 1)))}, "`starts.factor` must have shape"),
        ({"model": 3}, "`model` must be a layer"),
        ({"model": []}, "`model` must hold one layer for each of the 5 starts: 0 were found"),
        ({"model": [1] * N}, r"`model\[0\]` must be a layer"),
        ({"model": SoftmaxAttention(B=np.eye(3), V=np.eye(3))}, "`model` must act in the dimension d = 2"),
        ({"model": Depth.piecewise([SoftmaxAttention(1.0, 1.0)], [0.0])}, "constant parameters: Piecewise"),
        ({"ts": [1.0, 0.5]}, "`ts` must be strictly increasing"),
        ({"ts": [-1.0]}, "`ts` must not be negative"),
        ({"rtol": 1.0}, "`rtol` must lie between"),
        ({"max_steps": 0}, "`max_steps` must be a whole number"),
        ({"settle": -1.0}, "`settle` must be positive"),
    ],
)
def test_bad_input_is_named_before_any_work(change, message, heads, starts):
    given = {"model": heads, "starts": starts, "ts": [0.5]} | change
    with pytest.raises(BadInput, match=message):
        ensemble(given.pop("model"), given.pop("starts"), given.pop("ts"), **given)


def test_layers_of_different_structure_are_refused(heads, starts):
    mixed = [Transformer(heads[0], Affine(np.eye(D))), *heads[1:]]
    with pytest.raises(BadInput, match=r"`model\[1\]` must have the same layers"):
        ensemble(mixed, starts, [0.5])


def test_one_system_can_be_run_alone_and_replayed(heads, starts):
    found = ensemble(heads, starts, [0.0, 0.3, 0.7], rtol=1e-8)
    run = found.run(3)
    np.testing.assert_allclose(run.cov, found.cov[3], rtol=1e-6, atol=1e-7)
    assert run.verify().cov_error < 1e-6
    with pytest.raises(BadInput, match="`index` must be at least 0 and below 5"):
        found.run(5)


def test_a_single_system_is_an_ensemble(heads, starts):
    found = ensemble(heads[:1], starts[:1], [0.4])
    np.testing.assert_allclose(found.cov[0], simulate(heads[0], starts[0], [0.4]).cov, rtol=1e-5)


def test_the_dataset_lists_the_known_blow_ups_without_padding(starts):
    models = [SoftmaxAttention(B=np.eye(D), V=eta) for eta in (1.0, -1.0, 2.0, -1.0, -1.0)]
    found = ensemble(models, starts, [100.0])
    dataset = found.to_dataset()
    assert dataset["blow_up_system"].values.tolist() == [0, 2]
    np.testing.assert_allclose(dataset["blow_up_time"], found.blow_up_times)
    assert all(np.isfinite(dataset[name].values).all() for name in ("mean", "cov", "blow_up_time"))


@pytest.mark.parametrize("small", [1e-4, 1e-6])
def test_a_small_eigenvalue_that_the_flow_has_hardly_touched_is_in_doubt(small):
    """Both eigenvalues vanish like 1 / t in the end, the small one much later."""
    start = [Gaussian(np.zeros(2), np.diag([1.0, np.sqrt(small)]))]
    model = SoftmaxAttention(B=np.eye(2), V=np.diag([-1.0, -1.0001]))
    early, late = ensemble(model, start, [10.0]), ensemble(model, start, [10.0], settle=1e10)
    assert early.undecided.tolist() == [True]
    assert (late.limit_rank.tolist(), late.undecided.tolist()) == ([0], [False])
