import numpy as np
import pytest
from safetensors.numpy import save_file

from attnflow import BadInput
from attnflow.files.hidden_states import read_hidden_states


def arrays():
    rng = np.random.default_rng(3)
    return {name: rng.standard_normal((3, n, 5)).astype(np.float32) for name, n in (("first", 4), ("second", 7))}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_both_formats_give_the_arrays_in_order_and_one_fingerprint_of_their_contents(tmp_path, suffix):
    path, saved = tmp_path / f"states{suffix}", arrays()
    np.savez(path, **saved) if suffix == ".npz" else save_file(saved, path)
    states, fingerprint = read_hidden_states(path)
    assert list(states) == ["first", "second"]
    assert all(np.array_equal(states[name], saved[name]) for name in saved)
    np.savez(tmp_path / "same.npz", **saved)
    saved["second"][2, 6, 4] += 1e-3
    np.savez(tmp_path / "other.npz", **saved)
    assert read_hidden_states(tmp_path / "same.npz")[1] == fingerprint
    assert read_hidden_states(tmp_path / "other.npz")[1] != fingerprint


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"second": np.zeros((3, 7, 6))}, "agree with `first`"),
        ({"second": np.zeros((2, 7, 5))}, "agree with `first`"),
        ({"second": np.zeros((3, 1, 5))}, "at least two tokens"),
        ({"second": np.zeros((7, 5))}, "must be an array"),
        ({"second": np.full((3, 7, 5), np.nan)}, "must be finite"),
        ({"second": np.full((3, 7, 5), "word")}, "must be an array"),
    ],
)
def test_a_sequence_that_does_not_fit_is_named(tmp_path, changed, words):
    np.savez(tmp_path / "states.npz", **(arrays() | changed))
    with pytest.raises(BadInput, match=words) as caught:
        read_hidden_states(tmp_path / "states.npz")
    assert "`second`" in str(caught.value)


def test_files_that_are_missing_empty_or_broken_are_refused(tmp_path):
    with pytest.raises(BadInput, match="no file"):
        read_hidden_states(tmp_path / "absent.npz")
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(BadInput, match="it is empty"):
        read_hidden_states(tmp_path / "empty.npz")
    for name in ("broken.npz", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"no archive at all")
        with pytest.raises(BadInput, match="cannot be read"):
            read_hidden_states(tmp_path / name)
