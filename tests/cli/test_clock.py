from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnflow import BadInput
from attnflow.cli.clock import parse_times, picture_times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0,0.5,100", [0.0, 0.5, 100.0]),
        ("3", [3.0]),
        ("0:2:0.5", [0.0, 0.5, 1.0, 1.5, 2.0]),
        ("0:1:0.4", [0.0, 0.4, 0.8]),
        ("0:1:0.5,10:30:10", [0.0, 0.5, 1.0, 10.0, 20.0, 30.0]),
        (" 1e-3 , 2", [0.001, 2.0]),
        ("2:2:1", [2.0]),
    ],
)
def test_times_are_numbers_and_ranges(text: str, expected: list[float]):
    np.testing.assert_allclose(parse_times(text), expected, rtol=1e-15)


def test_a_range_meets_its_stop_exactly_although_its_step_is_not_a_binary_number():
    times = parse_times("0:100:0.1")
    assert times.size == 1001
    assert times[-1] == 100.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must hold numbers"),
        ("a,b", "must hold numbers"),
        ("1,", "must hold numbers"),
        ("0:1", "three numbers in a range"),
        ("0:1:0.1:2", "three numbers in a range"),
        ("0:1:-0.1", "must increase"),
        ("0:1:0", "must increase"),
        ("2:1:0.1", "must increase"),
        ("0:1e9:1e-9", "at most"),
        ("inf", "must be finite"),
        ("0:nan:1", "must be finite"),
        ("1,0.5", "strictly increasing"),
        ("0:1:0.5,1", "strictly increasing"),
        ("-1,2", "not be negative"),
    ],
)
def test_anything_else_is_refused_in_words_that_name_the_option(text: str, words: str):
    with pytest.raises(BadInput, match=words) as caught:
        parse_times(text)
    assert "`--times`" in str(caught.value)


@given(
    until=st.floats(1e-8, 1e8),
    dim=st.integers(1, 3000),
    inner=st.lists(st.floats(0.0, 1.0), max_size=20),
    blow_up=st.booleans(),
)
def test_picture_times_start_at_zero_end_at_the_end_and_increase(until, dim, inner, blow_up):
    ts = np.unique(np.array(inner) * until)
    times = picture_times(ts, until, dim, blow_up=blow_up)
    assert times[0] == 0.0
    assert times[-1] == until
    assert np.all(np.diff(times) > 0)
    assert times.size <= 300
    assert times.size * dim**2 <= max(2**24, 12 * dim**2)


def test_picture_times_resolve_the_beginning_or_the_blow_up():
    early = picture_times(np.array([0.0, 100.0]), 100.0, 2, blow_up=False)
    late = picture_times(np.array([0.0, 100.0]), 100.0, 2, blow_up=True)
    assert np.count_nonzero(early < 1.0) > 40
    assert np.count_nonzero(late > 99.0) > 40
