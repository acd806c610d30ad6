"""Gates: what reads as one, what is refused and how, and which conditions trip."""

import contextlib
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnflow._check import BadInput
from attnflow.doors.diagnosis.fields import FIELDS, available
from attnflow.doors.diagnosis.gate import Comparison, Condition, Gate, parse_gate
from attnflow.doors.diagnosis.thresholds import THRESHOLDS

PAGE = Path(__file__).parents[3] / "docs" / "diagnose-fields.md"

CONDITIONS = st.builds(
    Condition,
    st.sampled_from(sorted(FIELDS)),
    st.sampled_from(Comparison),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.lists(CONDITIONS, min_size=1, max_size=4))
def test_a_gate_reads_back_from_its_own_text(conditions):
    gate = Gate(tuple(conditions))
    assert parse_gate(str(gate)) == gate


@given(st.lists(CONDITIONS, min_size=1, max_size=3), st.sampled_from(["", " ", "\t", "  "]), st.booleans())
def test_spaces_and_the_case_of_or_do_not_matter(conditions, gap, upper):
    joint = " OR " if upper else "  or\t"
    text = joint.join(f"{gap}{c.field}{gap}{c.comparison.value}{gap}{c.threshold!r}{gap}" for c in conditions)
    assert parse_gate(text).conditions == tuple(conditions)


@given(st.text(alphabet="overlap10 <>=.5r", max_size=20))
def test_any_text_is_a_gate_or_is_refused(text):
    with contextlib.suppress(BadInput):
        assert parse_gate(str(parse_gate(text))) == parse_gate(text)


@given(st.text(min_size=1, max_size=200).filter(lambda text: "<" not in text and ">" not in text))
def test_a_refusal_is_one_line(text):
    with pytest.raises(BadInput) as refusal:
        parse_gate(text)
    assert "\n" not in str(refusal.value)
    assert "`fail_on`" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "threshold"),
    [("overlap10<.95", 0.95), ("overlap10 < 95e-2", 0.95), ("overlap10 < +1.", 1.0), ("overlap10 < -2", -2.0)],
)
def test_numbers_are_read_in_every_usual_form(text, threshold):
    assert parse_gate(text).conditions[0].threshold == threshold


@pytest.mark.parametrize(
    "text",
    [
        "", "overlap10", "overlap10 <", "< 0.95", "0.95 > overlap10", "overlap10 = 0.95", "overlap10 == 0.95",
        "overlap10 != 1", "overlap10 < 95 %", "overlap10 < nan", "overlap10 < inf", "overlap10 < 0.9 and drift_max > 1",
        "overlap10 < 0.9 or", "or overlap10 < 0.9", "overlap10 < 0.9 drift_max > 1", "overlap10 < 0,95",
        "overlap10 < 1 # x", "overlap10 < 1\noverlap10 < 2", "__import__('os')", "overlap10 < 0x1", "overlap10 < 1_0",
    ],
)  # fmt: skip
def test_what_does_not_parse_is_answered_with_the_grammar(text):
    with pytest.raises(BadInput, match=r"`fail_on` must be conditions .* write FIELD < NUMBER .*overlap10 < 0\.95"):
        parse_gate(text)


def test_a_number_too_large_for_a_float_is_refused():
    with pytest.raises(BadInput, match="must compare with finite numbers: 1e999 is too large"):
        parse_gate("drift_max > 1e999")


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("overlap < 0.9", "overlap10"),
        ("Overlap10 < 0.9", "overlap10"),
        ("drift > 1", "drift_"),
        ("rank_rato < 1", "rank_ratio"),
    ],
)
def test_an_unknown_field_is_answered_with_its_nearest_names_and_the_page(text, near):
    with pytest.raises(BadInput, match=rf"is none; did you mean .*`{near}.*docs/diagnose-fields\.md"):
        parse_gate(text)


def test_a_name_like_no_field_gets_no_guess():
    with pytest.raises(BadInput, match="none with a similar name"):
        parse_gate("zzz < 1")


@pytest.mark.parametrize(
    ("comparison", "trips"),
    [
        ("<", [True, False, False]),
        ("<=", [True, True, False]),
        (">", [False, False, True]),
        (">=", [False, True, True]),
    ],
)
def test_each_comparison_trips_on_its_side(comparison, trips):
    gate = parse_gate(f"overlap10 {comparison} 0.5")
    assert [bool(gate.tripped({"overlap10": value})) for value in (0.4, 0.5, 0.6)] == trips


def test_conditions_trip_one_by_one_and_say_which_value_did_it():
    gate = parse_gate("overlap10 < 0.95 or drift_max > 0.1 or cosine_min < 0.5")
    trips = gate.tripped({"overlap10": 0.8312, "drift_max": 0.05, "cosine_min": 0.2})
    assert [str(trip) for trip in trips] == [
        "overlap10 is 0.8312: overlap10 < 0.95",
        "cosine_min is 0.2: cosine_min < 0.5",
    ]
    assert trips[0].to_dict() == {"field": "overlap10", "value": 0.8312, "comparison": "<", "threshold": 0.95}
    assert gate.tripped({"overlap10": 1.0, "drift_max": 0.0, "cosine_min": 1.0}) == ()


@pytest.mark.parametrize("values", [{}, {"overlap10": math.nan}])
def test_a_field_without_a_value_trips_and_says_so(values):
    (trip,) = parse_gate("overlap10 < 0.95").tripped(values)
    assert "has no value here" in str(trip)
    assert json.loads(json.dumps(trip.to_dict()))["value"] is None


def test_an_infinite_value_trips_and_stays_json():
    (trip,) = parse_gate("trace_ratio > 100").tripped({"trace_ratio": math.inf})
    assert "trace_ratio is inf" in str(trip)
    json.loads(json.dumps(trip.to_dict(), allow_nan=False))


@pytest.mark.parametrize(
    ("text", "known", "words"),
    [
        ("overlap10 < 0.9", {"compared": False}, "needs `against`"),
        ("overlap10 < 0.9", {"compared": True, "inputs": 20}, "at least 41 inputs"),
        ("cosine_min < 0.9", {"compared": True, "same_output": False}, "outputs of the same width"),
        ("rank_ratio < 1 or drift_max > 1", {"compared": True, "same_layers": False}, "layers of the same number"),
        ("r2_min < 0", {"compared": False, "predictions": False}, "heads have a prediction"),
        ("pooled_token_cosine_last > 0.5", {"compared": False, "real": False}, "needs real input"),
    ],
)
def test_a_field_that_this_diagnosis_cannot_have_is_refused_before_the_work(text, known, words):
    with pytest.raises(BadInput, match=words):
        parse_gate(text).require(available(**known))


def test_fields_that_are_there_are_not_refused():
    everything = available(compared=True, inputs=400)
    assert everything == set(FIELDS)
    parse_gate(" or ".join(f"{name} < 0" for name in FIELDS)).require(everything)
    parse_gate("rank_ratio < 0.5").require(available(compared=False, real=False, predictions=False))


def test_every_field_and_every_threshold_stands_on_its_page():
    page = PAGE.read_text()
    rows = {found[1]: found[0] for found in re.finditer(r"^\| `(\w+)` \|.*$", page, re.MULTILINE)}
    assert set(rows) == set(FIELDS)
    for name, field in FIELDS.items():
        assert f"| {field.unit.replace('|', chr(92) + '|')} |" in rows[name], name
        assert field.words.replace("|", r"\|") in rows[name], name
    for threshold in THRESHOLDS:
        assert f"| {threshold.name} | {threshold.value:g} | {threshold.meaning} |" in page, threshold.name
