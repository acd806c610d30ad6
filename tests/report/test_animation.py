from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from attnflow._check import BadInput
from attnflow.report.animation import animate


def pictures(path):
    """The frames as arrays of colours."""
    with Image.open(path) as image:
        for frame in range(image.n_frames):
            image.seek(frame)
            yield np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("case", ["planar", "low_rank"])
def test_every_frame_differs_from_the_one_before(case, request, tmp_path):
    calls = []
    path = tmp_path / "run.gif"
    animate(*request.getfixturevalue(case), path, frames=8, progress=lambda done, total: calls.append((done, total)))
    frames = list(pictures(path))
    assert len(frames) == 8
    assert all(np.abs(one - two).max() > 50 for one, two in pairwise(frames))
    assert calls == [(i, 8) for i in range(1, 9)]
    assert [file.name for file in tmp_path.iterdir()] == ["run.gif"]


def test_the_ellipse_is_drawn_at_the_right_place(tmp_path):
    """A disc that jumps from left to right: the dark pixels follow."""
    mean = np.array([[-10.0, 0.0], [10.0, 0.0]])
    cov = np.stack([np.eye(2)] * 2)
    animate(np.array([0.0, 1.0]), mean, cov, tmp_path / "run.gif", frames=2)
    first, last = list(pictures(tmp_path / "run.gif"))
    changed = np.abs(first - last).sum(axis=2) > 100
    half = changed.shape[1] // 2
    ink = [(765 - picture.sum(axis=2)) * changed for picture in (first, last)]
    assert ink[0][:, :half].sum() > ink[0][:, half:].sum()
    assert ink[1][:, half:].sum() > ink[1][:, :half].sum()


def test_the_speed_is_the_one_that_was_asked_for(planar, tmp_path):
    animate(*planar, tmp_path / "run.gif", frames=3, fps=5)
    with Image.open(tmp_path / "run.gif") as image:
        assert image.info["duration"] == 200


def test_an_interrupt_leaves_the_older_file_and_nothing_else(planar, tmp_path):
    path = tmp_path / "run.gif"
    path.write_bytes(b"older")

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animate(*planar, path, frames=5, progress=stop)
    assert path.read_bytes() == b"older"
    assert [file.name for file in tmp_path.iterdir()] == ["run.gif"]


def test_a_missing_folder_is_named(planar, tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        animate(*planar, tmp_path / "nowhere" / "run.gif")
