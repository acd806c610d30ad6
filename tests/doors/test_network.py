"""Networks compiled from plans: what the door returns, keeps, writes and refuses."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import attnflow as af
from attnflow.doors.steering.network import Network, compile_plan, load_network
from attnflow.doors.steering.plan import Plan
from attnflow.doors.steering.study import fitted_order, network_study
from attnflow.flow.outcome import Basis
from attnflow.reachability.law import Controls, Steps
from attnflow.reachability.motion import follow


def gaussian(rng: np.random.Generator, d: int, r: int, spread: float = 0.6) -> af.Gaussian:
    return af.Gaussian.from_factor(rng.normal(size=d), spread * rng.normal(size=(d, r)))


@pytest.fixture
def plan(rng) -> Plan:
    return af.steer(gaussian(rng, 4, 3), gaussian(rng, 4, 3), time=1.5)


@pytest.fixture
def attending(rng) -> Plan:
    """A plan that follows no path: controls in two steps, and the target where SciPy takes them."""
    start, parts = gaussian(rng, 3, 2), (0.3 * rng.normal(size=(2, 3, 3)) for _ in range(3))
    law = Steps(np.array([0.0, 0.5, 1.5]), Controls(*parts, rng.normal(size=(2, 3))))
    motion = follow(law, start.mean, start.factor, 1.5).motion
    target = af.Gaussian.from_factor(motion.mean(1.5), motion.factor(1.5))
    return Plan(start, target, 1.5, "steps", law, motion, Basis.NUMERICAL, 1e-6, af.reachable(start, target))


def test_the_contract_of_a_network(plan):
    net = plan.compile(layers=16)
    assert {name: array.shape for name, array in net.weights.items()} == {
        "A": (16, 4, 4),
        "B": (16, 4, 4),
        "V": (16, 4, 4),
        "b": (16, 4),
    }
    assert net.layers == 16
    assert net.exact
    assert max(net.error.mean_error, net.error.cov_error, net.error.worst_direction) < 1e-12
    np.testing.assert_allclose(net.end.cov, plan.target.cov, atol=1e-12)
    assert repr(net).startswith("Network(16 layers, exponential, Rotation, d = 4, error")


def test_sixty_four_layers_take_16384_tokens_to_the_target_within_sampling_error(plan):
    study = network_study(plan, layers=(4,), tokens=(16384,), seed=5)
    moments = study.by_tokens[0].moments
    assert study.by_tokens[0].layers == 64
    assert moments.mean_error < 2 * moments.mean_floor < 0.02
    assert moments.cov_error < 2 * moments.cov_floor < 0.04


def test_with_equal_attention_the_moments_of_the_sample_arrive_as_scipy_moves_them(plan, rng):
    points = rng.normal(size=(50, 3)) @ plan.start.factor.T + plan.start.mean
    sample = af.Gaussian.from_tokens(points)
    end = follow(plan.law, sample.mean, sample.factor, 1.5).motion
    moved = plan.compile(layers=4).apply(points)
    np.testing.assert_allclose(moved.mean(axis=0), end.mean(1.5), atol=1e-9)
    factor = end.factor(1.5)
    np.testing.assert_allclose(np.cov(moved.T, bias=True), factor @ factor.T, atol=1e-9)


@pytest.mark.parametrize("scheme", ["exponential", "euler"])
def test_simulate_runs_the_layers_on_gaussians_and_tokens(scheme, attending, rng):
    net = attending.compile(layers=6, scheme=scheme)
    run = af.simulate(net.model, attending.start, layers=6)
    np.testing.assert_allclose(run.cov[-1], net.end.cov, atol=1e-13)
    np.testing.assert_allclose(run.mean[-1], net.end.mean, atol=1e-13)
    points = rng.normal(size=(60, 3))
    tokens = af.simulate(net.model, af.Tokens(points), layers=6)
    np.testing.assert_allclose(tokens.tokens[-1], net.apply(points), atol=1e-12)


def test_a_batch_is_moved_set_by_set(attending, rng):
    net, points = attending.compile(layers=3), rng.normal(size=(2, 5, 3))
    np.testing.assert_allclose(net.apply(points)[1], net.apply(points[1]), rtol=1e-13)
    assert net.apply(points[:0]).shape == (0, 5, 3)


def test_a_point_mass_is_carried(rng):
    start, target = (af.Gaussian.from_moments(rng.normal(size=2), np.zeros((2, 2))) for _ in range(2))
    net = af.steer(start, target).compile(layers=3)
    np.testing.assert_allclose(net.end.mean, target.mean, atol=1e-14)
    np.testing.assert_allclose(net.apply(start.mean[None])[0], target.mean, atol=1e-14)


def test_a_saved_network_is_the_same_again_bit_by_bit(attending, tmp_path):
    net, path = attending.compile(layers=5), tmp_path / "plan.safetensors"
    net.save(path)
    again = load_network(path)
    assert all(np.array_equal(again.weights[name], net.weights[name]) for name in net.weights)
    assert again.to_dict() == net.to_dict()
    assert np.array_equal(again.depths, net.depths)
    assert np.array_equal(again.target.factor, net.target.factor)
    with safe_open(path, framework="numpy") as file:
        texts = file.metadata()
    assert json.loads(texts["layer"]).startswith("y = x + V_l attn")
    assert "attnflow" in json.loads(texts["provenance"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.safetensors"]


def broken(path, net: Network, **changes: object) -> None:
    net.save(path)
    with safe_open(path, framework="numpy") as file:
        texts, tensors = file.metadata(), {name: file.get_tensor(name) for name in net.weights}
    tensors |= {name: value for name, value in changes.items() if isinstance(value, np.ndarray)}
    texts |= {name: json.dumps(value) for name, value in changes.items() if not isinstance(value, np.ndarray)}
    save_file(tensors, path, metadata=texts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"B": np.zeros((2, 3, 3))}, r"`B` must have shape \(5, 3, 3\) to agree with `b`"),
        ({"V": np.full((5, 3, 3), np.inf)}, "`V` must be finite"),
        ({"A": np.zeros((3, 3))}, "`A` must be an array of three axes"),
        ({"start": {"mean": [0.0, 1.0]}}, "a part of it is missing or wrong"),
        ({"scheme": "midpoint"}, "a part of it is missing or wrong"),
        ({"attnflow_schema": 99}, "has layout 99"),
        ({"attnflow_schema": None}, "must hold weights written by attnflow"),
    ],
)
def test_a_file_that_holds_no_network_is_refused(changes, message, attending, tmp_path):
    path = tmp_path / "broken.safetensors"
    broken(path, attending.compile(layers=5), **changes)
    with pytest.raises(af.BadInput, match=message):
        load_network(path)


def test_a_damaged_a_foreign_and_a_missing_file_are_refused(plan, tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(af.BadInput, match="there is no such file"):
        load_network(path)
    plan.compile(layers=2).save(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(af.BadInput, match="must be a safetensors file"):
        load_network(path)
    save_file({"A": np.eye(2)}, path)
    with pytest.raises(af.BadInput, match="written by attnflow"):
        load_network(path)
    with pytest.raises(af.BadInput, match="does not exist"):
        plan.compile(layers=2).save(tmp_path / "nowhere" / "x.safetensors")


@pytest.mark.parametrize("layers", [0, -3, 2.5, True, "8"])
def test_layers_must_be_a_positive_whole_number(layers, plan):
    with pytest.raises(af.BadInput, match="`layers` must be a positive whole number"):
        plan.compile(layers=layers)


def test_other_schemes_and_shapes_are_refused(plan):
    with pytest.raises(af.BadInput, match="`scheme` must be 'exponential' or 'euler': 'heun' was found"):
        plan.compile(layers=2, scheme="heun")
    net = plan.compile(layers=2)
    for shape in ((5, 3), (0, 4), (2, 0, 4)):
        with pytest.raises(af.BadInput, match="`tokens` must have the shape"):
            net.apply(np.zeros(shape))
    with pytest.raises(af.BadInput, match="`tokens` must be finite"):
        net.apply(np.full((3, 4), np.nan))


def test_a_stack_that_overflows_has_no_end_and_says_which_layer(rng):
    start = af.Gaussian.from_factor([1.0, -1.0], 1e3 * rng.normal(size=(2, 2)))
    zero, big = np.zeros((1, 2, 2)), 1e70 * np.ones((1, 2, 2))
    law = Steps(np.array([0.0, 1.0]), Controls(zero, zero, zero, np.zeros((1, 2))))
    motion = follow(law, start.mean, start.factor, 1.0).motion
    wild = Steps(law.edges, Controls(big, zero, zero, np.zeros((1, 2))))
    plan = Plan(start, start, 1.0, "wild", wild, motion, Basis.NUMERICAL, 1e-6, af.reachable(start, start))
    net = compile_plan(plan, 8, scheme="euler")
    assert net.end is None
    assert net.error is None
    assert "beyond float64" in repr(net)
    assert net.to_dict()["error"] is None
    with pytest.raises(af.BadInput, match="layer 4 of 8 overflows"):
        net.apply(np.ones((3, 2)))
    assert "overflow" in str(network_study(plan, layers=(8,), tokens=(), schemes=("euler",)))


def test_a_plan_that_misses_its_target_is_not_compiled_in_silence(attending, rng):
    elsewhere = gaussian(rng, 3, 2)
    missed = Plan(**{**vars(attending), "target": elsewhere})
    assert "does not reach its target" in missed.compile(layers=2).notes[-1]
    assert "cross a jump" in attending.compile(layers=1).notes[-1]


def test_the_study_reports_orders_and_what_is_exact(plan, attending):
    exact = network_study(plan, layers=(4, 16, 64), tokens=()).orders
    assert exact["exponential"].exact
    assert exact["exponential"].cov is None
    assert exact["exponential"].largest < 1e-12
    assert exact["euler"].cov == pytest.approx(1, abs=0.1)
    found = network_study(attending, layers=(48, 96, 192), tokens=(64,), token_layers=3)
    assert found.orders["exponential"].cov == pytest.approx(2, abs=0.1)
    assert found.orders["exponential"].mean is None
    assert found.orders["euler"].mean == pytest.approx(1, abs=0.1)
    assert "covariance order 2.0" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["orders"][0]["exact"] is False
    assert len(found.plot().axes) == 2


def test_finite_attention_shows_in_the_study_and_fades_with_n(attending):
    rows = network_study(attending, layers=(2,), tokens=(100, 6400), token_layers=4, seed=1).by_tokens
    ratio = rows[0].finite_n / rows[1].finite_n
    assert 3 < ratio < 20  # 8 for a rate of n^(-1/2)
    assert rows[1].finite_n < 0.1


def test_the_order_is_fitted_to_what_lies_above_rounding():
    layers = np.array([4, 64, 8, 16, 32])
    assert fitted_order(layers, 3.0 * layers**-2.0) == pytest.approx(2)
    assert fitted_order(layers, np.where(layers > 8, 1e-13, layers**-3.0)) == pytest.approx(3)
    assert fitted_order(layers, np.full(5, 1e-15)) is None


def test_a_study_of_nothing_is_refused(plan):
    with pytest.raises(af.BadInput, match="`layers` and `schemes`"):
        network_study(plan, layers=())
    with pytest.raises(af.BadInput, match="`tokens` must be a positive whole number"):
        network_study(plan, tokens=(0,))


def test_without_pytorch_the_message_names_the_extra(plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "attnflow.networks.residual_stack", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'attnflow\[networks\]'"):
        plan.compile(layers=2).to_torch()
