"""The values of the fields, against loops over the dataset, and the fields that are absent."""

import itertools
import statistics

import numpy as np
import pytest
import xarray as xr

from attnflow.diagnostics.pairing import Outputs, pair_outputs
from attnflow.doors.diagnosis.fields import FIELDS, available, gate_values
from oracles.diagnosis_data import diagnosis


@pytest.fixture(scope="module")
def layers() -> xr.Dataset:
    return diagnosis(kind="text", repeats=9, seed=3)


def medians(layers: xr.Dataset, name: str) -> list[float]:
    """Layer by layer, by the median of the standard library."""
    values = layers[name].to_numpy()
    return [statistics.median(values[:, i].tolist()) for i in range(values.shape[1])]


def test_the_fields_of_the_states_are_medians_over_sequences(layers):
    found = gate_values(layers, None)
    rank, trace, cosine = (medians(layers, name) for name in ("effective_rank", "cov_trace", "token_cosine"))
    assert found["effective_rank_first"] == rank[0]
    assert found["effective_rank_last"] == rank[-1]
    assert found["effective_rank_min"] == min(rank)
    assert found["rank_ratio"] == rank[-1] / rank[0]
    assert found["token_cosine_last"] == cosine[-1]
    assert found["token_cosine_max"] == max(cosine)
    assert found["trace_ratio"] == trace[-1] / trace[0]
    assert found["trace_step_max"] == max(b / a for a, b in itertools.pairwise(trace))
    assert found["sliced_w2_last"] == medians(layers, "sliced_w2_scaled")[-1]
    assert found["mmd_last"] == medians(layers, "mmd")[-1]
    norm = medians(layers, "mean_norm")[-1]
    assert found["mean_share_last"] == pytest.approx(norm**2 / (norm**2 + trace[-1]))


def test_excess_and_shares_are_taken_sequence_by_sequence(layers):
    found = gate_values(layers, None)
    ratio = layers["sliced_w2_scaled"].to_numpy() / layers["sliced_w2_floor"].to_numpy()
    assert found["sliced_w2_excess_max"] == max(statistics.median(ratio[:, i].tolist()) for i in range(7))
    shares = layers["massive_share"].to_numpy()
    assert found["massive_share_max"] == pytest.approx(max(statistics.fmean(shares[:, i].tolist()) for i in range(7)))


def test_rare_massive_tokens_are_seen_although_most_sequences_have_none(layers):
    few = layers.assign(massive_share=layers["massive_share"] * 0.0)
    few["massive_share"][2, 4] = 0.9
    assert gate_values(few, None)["massive_share_max"] == pytest.approx(0.1)


def test_the_fields_of_the_heads_are_the_worst_of_their_medians(layers):
    found = gate_values(layers, None)
    variance, bound = layers["logit_variance"].to_numpy(), layers["two_log_n"].to_numpy()
    worst = max(
        statistics.median([variance[s, b, h] / bound[s, b] for s in range(9)]) for b in range(6) for h in range(12)
    )
    assert found["logit_excess_max"] == worst
    assert found["r2_min"] == min(medians(layers, "r2_finite_n"))


def test_blocks_without_the_correction_count_with_the_mean_field(layers):
    plain = layers.copy(deep=True)
    plain["r2_finite_n"][:, 5] = np.nan
    plain["r2"][:, 5] = -40.0
    assert gate_values(plain, None)["r2_min"] == -40.0


def test_trust_is_counted_over_the_sequences_that_have_a_prediction(layers):
    some = layers.copy(deep=True)
    some["trusted"][:] = False
    some["trusted"][:4, 1] = True  # four of nine: not trusted
    some["trusted"][:5, 2] = True  # five of nine: trusted
    some["trusted"][:2, 3] = True  # two of the three with a prediction: trusted
    for name in ("r2", "r2_finite_n"):
        some[name][3:, 3] = np.nan
    assert gate_values(some, None)["trusted_layers"] == 2.0


def test_without_a_prediction_its_fields_are_absent():
    layers = diagnosis(unpredicted=tuple(range(6)))
    found = gate_values(layers, None)
    assert set(found) == available(compared=False, real=False, predictions=False)


def test_blocks_without_a_prediction_do_not_count():
    found = gate_values(diagnosis(unpredicted=(1, 5)), None)
    known = [i for i in range(6) if i not in (1, 5)]
    values = medians(diagnosis(unpredicted=(1, 5)), "r2_finite_n")
    assert found["r2_min"] == min(values[i] for i in known)


def test_the_probe_has_no_pooled_fields_and_real_input_does(layers):
    assert "pooled_effective_rank_last" not in gate_values(diagnosis(), None)
    found = gate_values(layers, None)
    assert found["pooled_effective_rank_last"] == float(layers["pooled_effective_rank"][-1])
    assert found["pooled_token_cosine_last"] == float(layers["pooled_token_cosine"][-1])


def test_the_fields_of_a_comparison_are_its_numbers(layers, rng):
    states = rng.normal(size=(50, 7, 4))
    other = states + 0.3 * rng.normal(size=states.shape) * (np.arange(7) >= 2)[:, None]
    pairing = pair_outputs(Outputs(other[:, -1], other), Outputs(states[:, -1], states))
    found = gate_values(layers, pairing)
    assert set(found) == set(FIELDS)
    cosines = sorted(
        float(a @ b / np.sqrt((a @ a) * (b @ b))) for a, b in zip(other[:, -1], states[:, -1], strict=True)
    )
    assert found["cosine_min"] == pytest.approx(cosines[0])
    assert found["cosine_median"] == pytest.approx(statistics.median(cosines))
    assert cosines[2] <= found["cosine_p05"] <= cosines[3]  # 0.05 times 49 lies between the third and the fourth
    assert found["overlap10"] == pairing.overlap.mean
    assert found["overlap10_low"] == pairing.overlap.low
    assert found["drift_first"] == 0.0
    assert found["drift_last"] == pairing.drift.value[-1]
    assert found["drift_max"] == max(pairing.drift.value)
    assert found["drift_start"] == 2.0


def test_a_drift_that_starts_nowhere_starts_after_the_last_layer(layers, rng):
    states = rng.normal(size=(50, 7, 4))
    same = Outputs(states[:, -1], states)
    assert gate_values(layers, pair_outputs(same, same))["drift_start"] == 7.0


def test_what_a_comparison_lacks_is_absent(layers, rng):
    found = gate_values(layers, pair_outputs(Outputs(rng.normal(size=(8, 3))), Outputs(rng.normal(size=(8, 4)))))
    pairs = {name for name, field in FIELDS.items() if field.of_pairs is not None}
    assert not pairs & set(found)


def test_tokens_without_spread_leave_out_what_is_divided_by_it(layers):
    still = layers.copy(deep=True)
    still["cov_trace"][:, 0] = 0.0
    found = gate_values(still, None)
    assert "trace_ratio" not in found
    assert "trace_step_max" not in found
