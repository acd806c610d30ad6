import numpy as np
import pytest

from attnflow.files.checkpoint import Checkpoint


def test_rows_come_back_by_number_with_their_words_and_dtypes(tmp_path):
    rows = {0: {"a": np.arange(3.0), "why": np.array(["too few", "sharp"])}, 7: {"a": np.zeros((0, 2), np.float32)}}
    kept = Checkpoint(tmp_path / "deep" / "work.npz")
    assert kept.read() == {}
    kept.write(rows)
    back = kept.read()
    assert sorted(back) == [0, 7]
    for number, row in rows.items():
        for name, array in row.items():
            assert np.array_equal(back[number][name], array)
            assert back[number][name].dtype == array.dtype
    kept.remove()
    kept.remove()
    assert kept.read() == {}


def test_a_broken_file_counts_as_absent(tmp_path):
    path = tmp_path / "work.npz"
    path.write_bytes(b"PK nothing")
    assert Checkpoint(path).read() == {}


def test_without_a_path_nothing_is_kept():
    kept = Checkpoint(None)
    kept.write({0: {"a": np.ones(2)}})
    assert kept.read() == {}


def test_an_interrupt_while_writing_leaves_what_was_kept(tmp_path, monkeypatch):
    kept = Checkpoint(tmp_path / "work.npz")
    kept.write({0: {"a": np.ones(2)}})

    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kept.write({0: {"a": np.zeros(2)}})
    monkeypatch.undo()
    assert np.array_equal(kept.read()[0]["a"], np.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["work.npz"]
