"""Two models on the same inputs, against loops, SciPy's bootstrap and planted changes."""

import json
import math

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats

from attnflow._check import BadInput
from attnflow.diagnostics.pairing import Outputs, Pairing, pair_outputs
from attnflow.diagnostics.pairing_drift import drift_by_layer, resample_counts
from attnflow.diagnostics.pairing_neighbours import neighbour_overlap, row_cosines
from attnflow.doors.diagnosis.paired import pairing_dataset, pairing_from_dict, pairing_to_dict

RNG = np.random.default_rng(7)


def two_models(*, inputs: int = 60, layers: int = 5, dim: int = 7, moved_from: int = 3, by: float = 0.3):
    """Two models that agree up to layer `moved_from`, and differ by noise of size `by` from there on."""
    rng = np.random.default_rng(inputs)
    states = 2.0 + rng.normal(size=(inputs, layers + 1, dim)) * np.linspace(1.0, 3.0, dim)
    other = states.copy()
    other[:, moved_from:] += by * rng.normal(size=other[:, moved_from:].shape)
    return Outputs(other[:, -1], other), Outputs(states[:, -1], states)


def overlap_by_loops(first, second, k):
    kept = []
    for i in range(len(first)):
        nearest = []
        for rows in (first, second):
            distance = [(scipy.spatial.distance.cosine(rows[i], rows[j]), j) for j in range(len(rows)) if j != i]
            nearest.append({j for _, j in sorted(distance)[:k]})
        kept.append(len(nearest[0] & nearest[1]) / k)
    return kept


@pytest.mark.parametrize("inputs", [12, 40, 270])
def test_the_overlap_is_that_of_sorted_cosine_distances(inputs):
    first, second = RNG.normal(size=(inputs, 5)) + 0.4, RNG.normal(size=(inputs, 3))
    found = neighbour_overlap(first, second, neighbours=10)
    assert np.allclose(found, overlap_by_loops(first, second, 10), atol=1e-15)
    assert 0 < found.mean() < 1


def test_unrelated_outputs_keep_the_share_that_chance_gives_them():
    shares = [
        pair_outputs(Outputs(RNG.normal(size=(150, 6))), Outputs(RNG.normal(size=(150, 6)))).overlap for _ in range(8)
    ]
    assert shares[0].chance == pytest.approx(10 / 149)
    assert np.mean([s.mean for s in shares]) == pytest.approx(shares[0].chance, abs=0.01)


def test_equal_inputs_are_taken_in_order_so_that_rounding_does_not_choose_between_them():
    texts = np.repeat(RNG.normal(size=(6, 5)), 15, axis=0)  # every text fifteen times: all ten nearest are ties
    noise = 1.0 + 1e-15 * RNG.normal(size=(90, 1))
    assert np.array_equal(neighbour_overlap(texts, texts * noise, neighbours=10), np.ones(90))


def test_cosines_are_those_of_scipy_and_exactly_one_for_equal_outputs():
    first, second = RNG.normal(size=(50, 4)) * 1e3, RNG.normal(size=(50, 4)) * 1e-3
    expected = [1 - scipy.spatial.distance.cosine(a, b) for a, b in zip(first, second, strict=True)]
    assert np.allclose(row_cosines(first, second), expected, atol=1e-14)
    assert np.array_equal(row_cosines(first, first), np.ones(50))
    assert np.allclose(row_cosines(first, -3 * first), -1.0, atol=1e-15)


def test_cosines_near_one_keep_their_digits():
    turn = 1e-7
    first, second = np.array([[3.0, 0.0]]), np.array([[2 * math.cos(turn), 2 * math.sin(turn)]])
    assert 1 - row_cosines(first, second)[0] == pytest.approx(turn**2 / 2, rel=1e-1)


def test_outputs_of_single_precision_near_the_overflow_are_compared():
    first = (RNG.normal(size=(12, 4)) * 1e37).astype(np.float32)
    assert np.allclose(row_cosines(first, 0.5 * first), 1.0)


def drift_by_loops(states, reference, inputs):
    found = []
    for layer in range(reference.shape[1]):
        mean = sum(reference[i, layer] for i in range(len(reference))) / len(reference)
        moved = sum(math.dist(states[i, layer], reference[i, layer]) ** 2 for i in inputs)
        spread = sum(math.dist(reference[i, layer], mean) ** 2 for i in inputs)
        found.append(math.sqrt(moved / spread))
    return found


def test_the_drift_is_the_change_over_the_spread_between_inputs_of_the_other_model():
    first, second = two_models()
    found = pair_outputs(first, second).drift
    assert np.allclose(found.value, drift_by_loops(first.states, second.states, range(60)), rtol=1e-13)
    assert not np.allclose(found.value, pair_outputs(second, first).drift.value, rtol=1e-3)


def test_each_resample_is_the_drift_of_the_inputs_it_draws():
    first, second = two_models(inputs=15)
    drawn = np.random.default_rng(3).integers(15, size=(400, 15))
    counts = np.stack([np.bincount(row, minlength=15) for row in drawn]).astype(float)
    each = np.array([drift_by_loops(first.states, second.states, row) for row in drawn])
    found = drift_by_layer(first.states, second.states, counts=counts)
    assert np.allclose(found.low, np.quantile(each, 0.025, axis=0), rtol=1e-12)
    assert np.allclose(found.high, np.quantile(each, 0.975, axis=0), rtol=1e-12)


def test_the_intervals_are_those_of_scipys_bootstrap():
    first, second = two_models(inputs=200)
    found = pair_outputs(first, second, seed=5)
    layer = 4
    moved = np.sum(np.square(first.states - second.states), axis=2)[:, layer]
    spread = np.sum(np.square(second.states - second.states.mean(axis=0)), axis=2)[:, layer]
    ratio = scipy.stats.bootstrap(
        (moved, spread), lambda a, b: math.sqrt(a.sum() / b.sum()), paired=True, vectorized=False, n_resamples=1500,
        method="percentile", rng=1,
    ).confidence_interval  # fmt: skip
    width = ratio.high - ratio.low
    assert [found.drift.low[layer], found.drift.high[layer]] == pytest.approx([ratio.low, ratio.high], abs=0.12 * width)
    mean = scipy.stats.bootstrap((found.overlap.each,), np.mean, method="percentile", rng=1).confidence_interval
    assert [found.overlap.low, found.overlap.high] == pytest.approx(
        [mean.low, mean.high], abs=0.12 * (mean.high - mean.low)
    )


def test_resamples_draw_as_many_inputs_as_there_are():
    counts = resample_counts(37, seed=2)
    assert counts.shape == (1000, 37)
    assert np.all(counts.sum(axis=1) == 37)
    assert np.var(counts) == pytest.approx(1 - 1 / 37, rel=0.03)  # binomial
    assert not np.array_equal(counts, resample_counts(37, seed=3))


@pytest.mark.parametrize("moved_from", [0, 2, 5])
def test_the_drift_starts_where_the_change_was_planted(moved_from):
    first, second = two_models(moved_from=moved_from)
    found = pair_outputs(first, second).drift
    assert found.start == moved_from
    assert np.array_equal(found.value[:moved_from], np.zeros(moved_from))


def test_a_change_below_two_percent_of_the_spread_starts_no_drift():
    first, second = two_models(by=0.02)
    found = pair_outputs(first, second).drift
    assert found.start is None
    assert 0 < found.value[-1] < 0.02


def test_a_change_that_one_input_carries_is_not_certain_and_starts_no_drift():
    _, second = two_models(inputs=40)
    states = second.states.copy()
    states[7, 3:] += 2.0
    found = pair_outputs(Outputs(states[:, -1], states), second).drift
    assert found.value[3] > 0.05
    assert found.low[3] == 0.0
    assert found.start is None


def test_a_model_compared_with_itself_has_not_moved_at_all():
    _, second = two_models()
    found = pair_outputs(second, second)
    assert found.identical
    assert (found.overlap.mean, found.overlap.low, found.overlap.high) == (1.0, 1.0, 1.0)
    assert np.array_equal(found.cosine, np.ones(60))
    assert not found.drift.value.any()
    assert not found.drift.high.any()
    assert found.drift.start is None


def test_a_rotation_keeps_neighbours_and_is_seen_by_the_drift():
    _, second = two_models()
    turn, _ = np.linalg.qr(RNG.normal(size=(7, 7)))
    found = pair_outputs(Outputs(second.output @ turn, second.states @ turn), second)
    assert found.overlap.mean == 1.0
    assert np.all(found.drift.low > 0.5)
    assert np.median(found.cosine) < 0.9


def test_a_scale_keeps_neighbours_and_cosines():
    _, second = two_models()
    found = pair_outputs(Outputs(3 * second.output, 3 * second.states), second)
    assert found.overlap.mean == 1.0
    assert np.allclose(found.cosine, 1.0, atol=1e-15)
    assert np.all(found.drift.value > 0.5)


def test_outputs_of_unequal_width_have_neighbours_and_no_cosine():
    found = pair_outputs(Outputs(RNG.normal(size=(150, 5))), Outputs(RNG.normal(size=(150, 3))))
    assert found.cosine is None
    assert found.overlap is not None
    assert any("5 and 3 coordinates" in note for note in found.notes)


def test_models_of_unequal_depth_have_no_drift():
    a, b = RNG.normal(size=(30, 4, 5)), RNG.normal(size=(30, 7, 5))
    found = pair_outputs(Outputs(a[:, -1], a), Outputs(b[:, -1], b))
    assert found.drift is None
    assert any("3 layers of width 5 and 6 layers of width 5" in note for note in found.notes)


@pytest.mark.parametrize("inputs", [1, 2, 11])
def test_few_inputs_have_no_neighbours_and_say_so(inputs):
    rows = RNG.normal(size=(inputs, 3, 4))
    found = pair_outputs(Outputs(rows[:, -1] + 0.1, rows), Outputs(rows[:, -1], rows))
    assert found.overlap is None
    assert found.cosine.shape == (inputs,)
    assert (found.drift is None) == (inputs == 1)  # a single input has no spread
    assert any("needs 12" in note for note in found.notes)


def test_chance_is_named_where_it_keeps_many_neighbours():
    rows = RNG.normal(size=(21, 4))
    found = pair_outputs(Outputs(rows), Outputs(rows + 0.1))
    assert any("50 %" in note for note in found.notes)


def test_the_inputs_that_moved_most_come_first():
    first, second = two_models(by=0.01)
    output = first.output.copy()
    output[[4, 31]] = -second.output[[4, 31]] + [[0.0], [0.5]]
    found = pair_outputs(Outputs(output), Outputs(second.output))
    assert [moved.index for moved in found.moved(2)] == [4, 31]
    assert found.moved(1)[0].cosine == pytest.approx(-1.0)
    assert found.moved(1)[0].overlap == found.overlap.each[4]
    narrower = pair_outputs(Outputs(output), Outputs(second.output[:, :-1]))
    order = [moved.overlap for moved in narrower.moved(60)]
    assert order == sorted(order)
    assert narrower.moved(1)[0].cosine is None


def assert_equal(first: Pairing, second: Pairing):
    assert json.dumps(pairing_to_dict(first)) == json.dumps(pairing_to_dict(second))
    assert type(first.cosine) is type(second.cosine)


@pytest.mark.parametrize("inputs", [5, 60])
def test_a_comparison_survives_json(inputs):
    found = pair_outputs(*two_models(inputs=inputs))
    read = pairing_from_dict(json.loads(json.dumps(pairing_to_dict(found))))
    assert_equal(found, read)
    assert np.array_equal(read.drift.low, found.drift.low)
    assert read.drift.start == 3


def test_the_dataset_has_the_curves_and_the_numbers(tmp_path):
    found = pair_outputs(*two_models())
    data = pairing_dataset(found)
    data.to_netcdf(tmp_path / "pairs.nc", engine="h5netcdf")
    assert data["drift_low"].dims == ("layer",)
    assert data["cosine"].dims == ("sequence",)
    assert data.attrs["overlap10"] == found.overlap.mean
    assert data.attrs["drift_start"] == 3
    same = pairing_dataset(pair_outputs(two_models()[1], two_models()[1]))
    assert same.attrs["drift_start"] == 6


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (np.ones((3, 2)), np.ones((4, 2)), "4 and 3 were found"),
        (np.ones((0, 2)), np.ones((0, 2)), "is empty"),
        (np.ones((3, 2)), np.array([[1.0, 1], [np.nan, 1], [1, 1]]), "second.output` must be finite"),
        (np.array([[1.0, 1], [0, 0], [1, 1]]), np.ones((3, 2)), "that of input 1 is"),
    ],
)
def test_outputs_that_cannot_be_compared_are_refused(first, second, words):
    with pytest.raises(BadInput, match=words):
        pair_outputs(Outputs(first), Outputs(second))


def test_states_that_are_not_finite_are_refused():
    first, second = two_models()
    first.states[3, 2, 1] = np.inf
    with pytest.raises(BadInput, match=r"first.states` must be finite: entry \(3, 2, 1\)"):
        pair_outputs(first, second)
