"""The verdict in words: one dataset for each case, made so that nothing else happens in it."""

import numpy as np
import pytest

from attnflow.diagnostics.pairing import Outputs, Pairing, pair_outputs
from attnflow.doors.diagnosis.verdict import verdict_from_dict
from attnflow.doors.diagnosis.verdict_finding import Kind, percent, short
from oracles.verdict_data import (
    BLOCKS,
    DEPTH,
    FLAT,
    HEADS,
    judge,
    name_massive,
    pairing,
    quiet,
    texts,
    theory,
    with_theory,
)


def test_where_nothing_happens_nothing_is_claimed():
    found = judge(quiet())
    assert str(found) == found.line == "no collapse, no concentration; theory valid in all 6 layers"
    for word in ("bounded", "stable", "blows", "falls", "massive activations", "draw together"):
        assert word not in found.line + texts(found)
    assert "the trace stays between 39." in texts(found)
    assert "the trace stays at 40 in these 6 layers" in texts(judge(quiet(noise=0.0)))


def test_a_falling_rank_is_anisotropic_concentration_with_its_layers():
    rank = np.array([55.6, 54.0, 50.0, 45.0, 40.0, 24.3, 26.0])
    found = judge(quiet(effective_rank=rank, noise=0.0))
    assert found.line.startswith("rank falls 55.6 to 24.3 from layer 0 to 5: anisotropic concentration; ")
    assert "collapse" not in found.line


def test_the_line_of_a_rank_that_falls_where_the_theory_is_lost():
    layers = quiet(effective_rank=np.linspace(55.6, 24.3, 7), noise=0.0).assign(theory(20, "sequence", r2=-2.0))
    assert str(judge(layers)) == (
        "rank falls 55.6 to 24.3 from layer 0 to 6: anisotropic concentration; theory not valid here"
    )


def test_a_fall_within_the_noise_between_sequences_is_not_a_fall():
    rank = np.linspace(30.0, 18.0, BLOCKS + 1)
    assert "rank falls" in judge(quiet(effective_rank=rank, noise=0.1)).line
    assert "rank" not in judge(quiet(effective_rank=rank, noise=1.0)).line


def test_a_fall_by_less_than_a_half_is_not_named():
    assert "rank" not in judge(quiet(effective_rank=np.linspace(30.0, 21.0, 7), noise=0.0)).line
    assert "rank falls" in judge(quiet(effective_rank=np.linspace(30.0, 19.9, 7), noise=0.0)).line


def test_the_fall_after_a_rise_is_found():
    rank = np.array([20.0, 25.0, 60.0, 50.0, 30.0, 31.0, 33.0])
    assert "rank falls 60 to 30 from layer 2 to 4" in judge(quiet(effective_rank=rank, noise=0.0)).line


def test_tokens_that_become_one_collapse_and_lose_no_rank():
    cosine = np.array([0.05, 0.2, 0.5, 0.8, 0.9, 0.96, 0.98])
    found = judge(quiet(token_cosine=cosine, effective_rank=np.linspace(30.0, 5.0, 7), noise=0.0))
    assert found.line.startswith("token cosine rises 0.05 to 0.98 from layer 0 to 6: token collapse")
    assert "rank falls" not in found.line + texts(found)
    assert "concentration" not in found.line
    assert "that is no loss of rank" in texts(found)


def test_tokens_that_were_one_from_the_start_do_not_collapse():
    found = judge(quiet(token_cosine=0.97 * FLAT, noise=0.0))
    assert found.line.startswith("token cosine 0.97 at layer 0: tokens are one")
    assert "collapse" not in found.line
    assert "tokens point the same way at layer 0 already (mean cosine 0.97)" in texts(found)
    assert "as they did" not in texts(found)


def test_tokens_that_draw_together_without_collapse_are_a_finding():
    found = judge(quiet(token_cosine=np.linspace(0.05, 0.6, 7)))
    assert "tokens draw together: cosine 0.05" in texts(found)
    assert "collapse;" not in found.line.replace("no collapse,", "")


def test_a_trace_that_grows_in_every_layer_blows_up():
    found = judge(quiet(cov_trace=384.0 * 2.2**DEPTH, noise=0.0))
    assert found.line.startswith("trace grows 384 to 4.35e4 from layer 0 to 6: blows up")
    assert "2.2 times in each layer" in texts(found)


def test_a_trace_that_grows_in_one_jump_does_not_blow_up():
    found = judge(quiet(cov_trace=384.0 * np.where(DEPTH >= 4, 500.0, 1.0), noise=0.0))
    assert "blows up" not in found.line
    assert "most of it in one step, 500 times from layer 3 to 4" in texts(found)


def test_a_trace_that_falls_contracts():
    found = judge(quiet(cov_trace=384.0 * 3.5 ** -DEPTH.astype(float), noise=0.0))
    assert found.line.startswith("trace falls 384 to 0.209 from layer 0 to 6: the tokens contract")


@pytest.mark.parametrize("trace", [40.0 * FLAT, 384.0 * 2.2**DEPTH, 384.0 * 0.3**DEPTH])
def test_what_a_norm_bounds_is_said_to_be_so_by_construction_and_no_more(trace):
    found = judge(quiet(cov_trace=trace), bounded_by_norm=True)
    assert "by construction" in str(found.findings[0])
    assert texts(found, Kind.CONSTRUCTION).startswith("each block ends in a norm")
    everything = found.line + "".join(str(finding) for finding in found.findings)
    assert "bounded" not in everything
    assert "trace stays" not in everything
    assert "trace grows" not in everything
    assert "meaningless" not in everything


def test_massive_activations_are_named_with_their_share_and_coordinate():
    layers = quiet(massive_share=np.array([0.0, 0.0, 0.004, 0.03, 0.088, 0.05, 0.05]), noise=0.0)
    name_massive(layers, [[(99, 0.08), (3, 0.01)]] * 17 + [[(7, 0.088)]] * 3)
    found = judge(layers)
    assert found.line.startswith("massive activations from layer 3; ")
    assert (
        "massive activations in 9 % of the tokens at layer 4, from layer 3 on, mostly coordinate 99, in 7 % "
        in texts(found)
    )


def test_massive_activations_leave_the_line_to_what_they_come_with():
    found = judge(quiet(massive_share=0.2 * FLAT, effective_rank=np.linspace(60.0, 20.0, 7), noise=0.0))
    assert (
        found.line == "rank falls 60 to 20 from layer 0 to 6: anisotropic concentration; theory valid in all 6 layers"
    )
    assert "massive activations in 20 %" in texts(found)


def test_tokens_beyond_the_floor_of_the_distance_are_not_gaussian_from_some_layer_on():
    distance = 0.02 * np.array([1.0, 1.02, 1.1, 1.2, 1.4, 3.0, 2.0])
    assert "not Gaussian from layer 4 on: sliced W2 up to 3 times its floor (layer 5)" in texts(
        judge(quiet(sliced_w2_scaled=distance, noise=0.0))
    )
    assert "at its floor: no departure is seen" in texts(judge(quiet()))


def test_the_probe_is_labelled_a_probe():
    found = judge(quiet(over="batch"), input="gaussian")
    assert found.line.startswith("on Gaussian tokens (a probe, not your data): no collapse")
    assert "batch" not in texts(found, Kind.NOTE)


def test_one_batch_says_that_its_noise_is_not_known_and_short_sequences_their_rank():
    found = judge(quiet(over="batch", repeats=1), input="gaussian")
    assert "one batch only: the noise is not known" in texts(found, Kind.NOTE)
    layers = quiet()
    layers["tokens"][:] = 17
    assert "a sequence has 17 tokens (median), so that its rank is at most 16" in texts(judge(layers), Kind.NOTE)


@pytest.mark.parametrize(
    ("numbers", "clause", "words"),
    [
        ({"r2": -2.0}, "theory not valid here", "blocks 0 to 5: the tokens are not Gaussian enough, R^2 down to -2"),
        (
            {"r2": 0.05, "ceiling": 0.06, "variance": 30.0},
            "theory not valid here",
            "blocks 0 to 5: too few keys hold the weight",
        ),
        (
            {"r2": 0.05, "ceiling": 0.06, "variance": 0.1},
            "theory not valid here",
            "blocks 0 to 5: the noise of finitely many keys hides",
        ),
        (
            {"r2": [0.95, 0.95, -1.0, 0.95, -3.0, 0.02], "ceiling": [0.98] * 5 + [0.04]},
            "theory valid in 3 of 6 layers",
            "trusted in 3 of 6 layers (blocks 0 to 1, 3)",
        ),
        (
            {"r2": [0.95, np.nan, -1.0, 0.95, np.nan, np.nan]},
            "theory valid in 2 of 3 layers with a prediction",
            "block 2:",
        ),
        (
            {"r2": 0.97, "control": 0.97},
            "in all 6 layers, as with any law of the same moments",
            "no evidence for Gaussian",
        ),
        ({"control": [0.9, 0, 0, 0, 0, 0]}, "theory valid in all 6 layers", "in block 0 any law with the same moments"),
    ],
)
def test_the_theory_is_said_to_hold_as_far_as_it_is_trusted_and_why_not_beyond(numbers, clause, words):
    found = judge(with_theory(**numbers))
    assert found.line.endswith(clause)
    assert words in texts(found)


def test_blocks_without_a_prediction_are_listed_with_their_reason():
    found = judge(with_theory(r2=[0.95, np.nan, 0.95, 0.95, np.nan, np.nan]))
    assert texts(found, Kind.NO_PREDICTION) == "blocks 1, 4 to 5: windows have no single (B, V)"
    nothing = judge(with_theory(r2=np.full(6, np.nan), variance=np.nan))
    assert nothing.line.endswith("; no prediction")
    assert texts(nothing, Kind.NO_PREDICTION) == "blocks 0 to 5: windows have no single (B, V)"


def test_heads_beyond_two_log_n_are_counted():
    variance = np.full((BLOCKS, HEADS), 2.0)
    variance[1, 2] = variance[4] = 30.0
    words = "logit variance beyond 2 log n in 4 of 18 heads (blocks 1, 4): single keys hold the weight there"
    assert words in texts(judge(with_theory(variance=variance)))


def test_no_head_of_low_rank_is_definite():
    ranks = {
        "rank_B": (("block", "head"), np.full((BLOCKS, HEADS), 16)),
        "rank_V": (("block", "head"), np.full((6, 3), 15)),
    }
    assert "rank 16 at most in dimension 64" in texts(judge(quiet().assign(ranks)), Kind.THEOREM)
    full = {name: (dims, value * 4) for name, (dims, value) in ranks.items()}
    assert not texts(judge(quiet().assign(full)), Kind.THEOREM)


def test_the_line_of_a_comparison_is_what_was_kept_and_where_the_drift_starts():
    found = judge(quiet(effective_rank=np.linspace(60, 20, 7)), pairing(drift=[0, 0, 0, 0.1, 0.3, 0.2, 0.25], start=3))
    assert str(found) == "neighbours kept 83 %; drift starts at layer 3"
    assert (
        "of the 10 nearest neighbours 83.0 % are kept (95 % interval 81.8 to 84.1 %; unrelated outputs: 3 %)"
        in texts(found)
    )
    assert "0.1 (0.09 to 0.11) at layer 3, largest 0.3 at layer 4, 0.25 after the last" in texts(found)
    assert "effective rank falls" in texts(found)


def test_a_drift_from_layer_zero_on_starts_in_the_embeddings():
    assert str(judge(quiet(), pairing(drift=np.full(7, 0.2), start=0))).endswith("; drift starts in the embeddings")


def test_what_is_not_a_drift_is_not_called_one():
    assert (
        str(judge(quiet(), pairing(kept=0.994, drift=np.full(7, 0.005)))) == "neighbours kept 99.4 %; drift below 2 %"
    )
    assert str(judge(quiet(), pairing(drift=np.full(7, 0.5)))).endswith("drift not certain")


def test_a_comparison_without_neighbours_or_drift_says_what_it_has():
    few = pairing(overlap=None, drift=None, notes=("no overlap of neighbours: 5 inputs",))
    found = judge(quiet(), Pairing(**{**vars(few), "drift": None}))
    assert str(found).startswith("median cosine of the outputs 0.98")
    assert "no overlap of neighbours: 5 inputs" in texts(found, Kind.NOTE)


def test_a_network_against_itself_is_identical(rng):
    same = Outputs(rng.normal(size=(40, 5)), rng.normal(size=(40, 7, 5)))
    found = judge(quiet(), pair_outputs(same, same), input="gaussian")
    assert str(found) == "on Gaussian tokens (a probe, not your data): identical outputs on all 40 inputs"


def test_a_rotation_is_suspected_where_neighbours_stay_and_states_do_not(rng):
    states = rng.normal(size=(200, 7, 5))
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    found = judge(quiet(), pair_outputs(Outputs(states[:, -1] @ turn, states @ turn), Outputs(states[:, -1], states)))
    assert str(found) == "all neighbours kept; drift starts in the embeddings"
    assert "as after a rotation of the outputs" in texts(found)
    assert "rotation" not in texts(judge(quiet(), pairing(kept=0.5, drift=np.full(7, 0.9), start=0)))


def test_a_verdict_survives_its_dictionary():
    found = judge(with_theory(r2=[0.95, np.nan, -1.0, 0.95, np.nan, 0.5]), pairing(drift=np.full(7, 0.2), start=0))
    assert verdict_from_dict(found.to_dict()) == found
    assert {finding.kind for finding in found.findings} == {Kind.MEASURED, Kind.NO_PREDICTION}


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (1.0, "100 %"),
        (0.99996, "99.9 %"),
        (0.9938, "99.4 %"),
        (0.834, "83 %"),
        (0.0004, "0.1 %"),
        (0.0, "0 %"),
        (0.989, "99 %"),
    ],
)
def test_what_is_not_all_is_never_called_all(share, words):
    assert percent(share) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (384.0, "384"),
        (999.4, "999"),
        (999.7, "1000"),
        (9999.6, "1.00e4"),
        (43500.0, "4.35e4"),
        (0.02134, "0.0213"),
        (1e12, "1.00e12"),
    ],
)
def test_numbers_have_three_digits(value, words):
    assert short(value) == words
