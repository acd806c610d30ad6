"""One Gaussian, or fixed parameters, out of a TOML file: every form, and one clear line for what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.files.fixed import read_fixed
from attnflow.files.gaussian import read_gaussian
from attnflow.files.steering_examples import EXAMPLES, write_steering_examples

COV = "[[2.0, 0.5], [0.5, 1.0]]"


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "a.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def cloud(tmp_path, rng):
    """Tokens (30, 2), in files of all kinds beside the TOML."""
    points = rng.normal(size=(30, 2)) @ np.array([[1.0, 0.4], [0.0, 0.3]]) + [1.0, -2.0]
    np.save(tmp_path / "one.npy", points)
    np.savez(tmp_path / "one.npz", points)
    np.savez(tmp_path / "two.npz", x=points, y=np.ones(3))
    return points


@pytest.mark.parametrize(
    "text",
    [
        f"mean = [1, -2]\ncov = {COV}",
        f'title = "mine"\nmean = [1, -2]\ncov = {COV}',
        f"[start]\nmean = [1, -2]\ncov = {COV}\n[model.feedforward]\nA = 1.0\n[simulate]\nt1 = 2.0",
        f'[start]\nkind = "tokens"\nsample = 50\nmean = [1, -2]\ncov = {COV}',
        "mean = [1, -2]\nfactor = [[1.0, 1.0], [0.0, 1.0]]",
    ],
)
def test_mean_and_covariance_stand_at_the_top_or_in_a_problem_file(written, text):
    found = read_gaussian(written(text))
    np.testing.assert_array_equal(found.mean, [1.0, -2.0])
    expected = [[2.0, 1.0], [1.0, 1.0]] if "factor" in text else [[2.0, 0.5], [0.5, 1.0]]
    np.testing.assert_allclose(found.cov, expected, rtol=1e-14)


def test_one_column_is_a_line_and_a_number_a_multiple_of_the_identity(written):
    assert read_gaussian(written("mean = [0, 0, 1]\nfactor = [1, 2, 3]")).rank == 1
    np.testing.assert_allclose(read_gaussian(written("mean = [0, 0, 1]\ncov = 0.25")).cov, 0.25 * np.eye(3), rtol=1e-15)


@pytest.mark.parametrize("name", ["one.npy", "one.npz", "two.npz:x"])
def test_tokens_may_lie_in_a_file_and_give_their_moments(written, cloud, name):
    found = read_gaussian(written(f'tokens = "{name}"'))
    np.testing.assert_allclose(found.mean, cloud.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.cov, np.cov(cloud.T, bias=True), rtol=1e-12)


def test_tokens_may_be_written_out(written):
    found = read_gaussian(written("[start]\ntokens = [[1, 2], [3, 4], [5, 0]]"))
    np.testing.assert_allclose(found.cov, np.cov([[1, 3, 5], [2, 4, 0]], bias=True), rtol=1e-14)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mean = [1, 2]", "it must have exactly one of `cov`, `factor` and `tokens`"),
        ("[start]\nmean = [1, 2]", "`[start]` must have exactly one of"),
        ("covariance = 1", "`covariance` is not a known key here"),
        ("[start]\nmaen = [1]\ncov = 1", "did you mean `start.mean`?"),
        ("mean = [1, 2]\ncov = [[1, 2], [2, 1]]", "`cov` must be positive semidefinite"),
        ("[start]\nmean = [1, 2]\ncov = [[1, 2], [0, 1]]", "`start.cov` must be symmetric"),
        ('mean = [1, "x"]\ncov = 1', "`mean[1]` must be a number"),
        ("mean = [1, 2]\nfactor = [1, 2, 3]", "`factor` must have 2 rows"),
        ('mean = [1, 2]\ntokens = "one.npy"', "`mean` must be given with `cov` or `factor`, and only then"),
        ('tokens = "two.npz"', "`tokens` must name one of the arrays of"),
        ('tokens = "none.npy"', "there is no file"),
        ('tokens = "a.toml"', "`tokens` must be numbers or an array in an archive"),
        ('tokens = "objects.npy"', "holds objects"),
        ("start = 3", "`[start]` must be a table"),
        ("mean = [1", "must be a TOML file"),
    ],
)
def test_a_fault_is_one_line_that_names_the_file_and_the_field(written, cloud, tmp_path, text, words):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput) as caught:
        read_gaussian(written(text))
    message = str(caught.value)
    assert words in message
    assert "a.toml`" in message
    assert "\n" not in message


def test_a_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(BadInput, match=r"there is no such file; `attnflow init --steer` writes examples"):
        read_gaussian(tmp_path / "none.toml")


def test_fixed_parameters_are_matrices_numbers_or_arrays_of_an_archive(written, tmp_path):
    np.savez(tmp_path / "p.npz", B=[[1.0, 2.0], [3.0, 4.0]])
    found = read_fixed(written('title = "t"\nA = -0.5\nB = "p.npz:B"\nb = [1, 2]'), 2)
    assert list(found) == ["A", "B", "b"]
    np.testing.assert_array_equal(found["A"], [[-0.5, 0.0], [0.0, -0.5]])
    np.testing.assert_array_equal(found["B"], [[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A = [[1, 2, 3], [4, 5, 6]]", "`A` must have shape (2, 2) to agree with the start"),
        ("b = 1", "`b` must be a vector"),
        ("[model]\nA = 1", "`model` is not a fixed parameter (known: A, B, V, b)"),
        ("A = [[1, 2], [3]]", "`A` must have rows of one length"),
    ],
)
def test_a_fault_in_a_fixed_parameter_is_one_line(written, text, words):
    with pytest.raises(BadInput) as caught:
        read_fixed(written(text), 2)
    assert words in str(caught.value)
    assert "a.toml`" in str(caught.value)


def test_the_examples_are_what_they_say(tmp_path):
    paths = write_steering_examples(tmp_path / "new")
    assert [path.name for path in paths] == list(EXAMPLES)
    found = {path.stem: read_gaussian(path) for path in paths if path.stem != "fixed"}
    assert {name: g.rank for name, g in found.items() if name.startswith("line")} == {"line-from": 1, "line-to": 1}
    assert float(found["line-from"].factor[:, 0] @ found["line-to"].factor[:, 0]) == 0.0
    assert found["full-from"].rank == found["full-to"].rank == 2
    assert list(read_fixed(tmp_path / "new" / "fixed.toml", 2)) == ["A"]


def test_examples_are_not_overwritten_unless_told(tmp_path):
    (tmp_path / "line-to.toml").write_text("mine")
    with pytest.raises(BadInput, match=r"line-to\.toml` exists already.*--force"):
        write_steering_examples(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line-to.toml"]
    write_steering_examples(tmp_path, overwrite=True)
    assert "vertical" in (tmp_path / "line-to.toml").read_text()
