import json
import tomllib

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow._check import BadInput
from attnflow.files.problem import read_problem
from attnflow.files.template import PROBLEM_TEMPLATE, write_template

B = [[1.0, 0.5], [-0.25, 0.75]]
START = "[start]\nmean = [1.0, -2.0]\ncov = [[2.0, 0.3], [0.3, 1.0]]\n"
ATTENTION = f"[model.attention]\nB = {B}\nV = [[0.0, 1.0], [-3.0, 0.5]]\n"


def write(folder, text):
    path = folder / "problem.toml"
    path.write_text(text)
    return path


def complaint(folder, text):
    with pytest.raises(BadInput) as caught:
        read_problem(write(folder, text))
    message = str(caught.value)
    assert "\n" not in message
    assert "?" not in message.replace("`?", "") or "did you mean" in message
    return message


def paper_velocity(head, mean, cov, x):
    """The softmax average under N(mean, cov) by brute force, in the paper's words: weights exp(y^T B x)."""
    grid = np.linspace(-9.0, 9.0, 241)
    u = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    y = mean + u @ np.linalg.cholesky(cov).T
    weights = np.exp(-0.5 * (u * u).sum(axis=1) + y @ np.asarray(head["B"]) @ x)
    return np.asarray(head["V"]) @ (weights @ y) / weights.sum()


def test_inline_matrices_are_the_ones_of_the_paper(tmp_path, x64):
    problem = read_problem(write(tmp_path, START + ATTENTION))
    mean, cov, x = np.array([1.0, -2.0]), np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([0.2, 0.4])
    expected = paper_velocity({"B": B, "V": [[0.0, 1.0], [-3.0, 0.5]]}, mean, cov, x)
    affine = problem.model.at_gaussian(problem.start)
    np.testing.assert_allclose(affine.apply(x[:, None])[:, 0] + affine.offset, expected, rtol=1e-8)


def test_the_template_is_the_mixed_sign_regime_with_its_equilibrium_at_the_target(tmp_path):
    write_template(tmp_path / "problem.toml")
    problem = read_problem(tmp_path / "problem.toml")
    (head,), affine = problem.model.attention, problem.model.feedforward
    A, form = np.asarray(affine.A), np.asarray(head.B)
    assert np.linalg.eigvals(A).min() < 0 < np.linalg.eigvals(A).max()
    assert (float(head.V), problem.options) == (-1.0, {"t1": 100.0})
    np.testing.assert_array_equal(problem.start.mean, [-1.0, -1.0])
    np.testing.assert_allclose(problem.start.cov, [[0.4, 0.2], [0.2, 0.2]], rtol=1e-14)

    def right_hand_side(_, y):
        mean, cov = y[:2], y[2:].reshape(2, 2)
        G = A - cov @ form
        return np.concatenate([(G - np.eye(2)) @ mean + affine.b, (G @ cov + cov @ G.T).ravel()])

    y0 = np.concatenate([problem.start.mean, np.ravel(problem.start.cov)])
    end = solve_ivp(right_hand_side, (0.0, 40.0), y0, method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
    np.testing.assert_allclose(end[:2], [1.0, 2.0], atol=1e-8)
    assert abs(np.linalg.det(end[2:].reshape(2, 2))) < 1e-10


def test_the_template_mentions_every_key_of_simulate():
    from attnflow.files.schema import SimulateTable

    assert all(f"{name} = " in PROBLEM_TEMPLATE for name in SimulateTable.model_fields)


def test_every_commented_option_of_the_template_is_valid(tmp_path):
    commented = ("points", "rtol", "atol", "max_steps", "stop_at_rest", "seed")
    text = PROBLEM_TEMPLATE
    for name in commented:
        text = text.replace(f"# {name} = ", f"{name} = ")
    options = read_problem(write(tmp_path, text)).options
    assert {name: value for name, value in options.items() if name != "ts"} == {
        "rtol": 1e-8, "atol": 1e-12, "max_steps": 100000, "stop_at_rest": True, "seed": 0,
    }  # fmt: skip
    assert options["ts"].size == 201


def test_an_existing_file_is_not_overwritten_unless_asked(tmp_path):
    path = write(tmp_path, "mine")
    with pytest.raises(BadInput, match="exists already"):
        write_template(path)
    assert path.read_text() == "mine"
    write_template(path, overwrite=True)
    assert tomllib.loads(path.read_text())["simulate"] == {"t1": 100.0}


def test_arrays_come_from_an_archive_beside_the_file(tmp_path, rng, monkeypatch):
    (tmp_path / "deep").mkdir()
    Q, V = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    np.savez(tmp_path / "deep" / "params.npz", Q=Q, V=V, mean=np.array([3, 4]))
    monkeypatch.chdir("/")
    text = (
        '[start]\nmean = "deep/params.npz:mean"\nfactor = [[1.0], [2.0]]\n'
        '[model.attention]\nQ = "deep/params.npz:Q"\nK = [[1, 0], [0, 1], [2, 2]]\n'
        'V = "deep/params.npz:V"\nscale = 0.5\n'
    )
    problem = read_problem(write(tmp_path, text))
    (head,) = problem.model.attention
    K = np.array([[1, 0], [0, 1], [2, 2]])
    np.testing.assert_allclose(head.B.left @ head.B.right, 0.5 * K.T @ Q, rtol=1e-14)
    np.testing.assert_array_equal(head.V, V)
    np.testing.assert_array_equal(problem.start.mean, [3.0, 4.0])
    np.testing.assert_array_equal(problem.start.factor, [[1.0], [2.0]])


def test_several_heads_and_tokens(tmp_path):
    text = (
        "[start]\ntokens = [[0.0, 1.0], [2.0, 5.0], [4.0, 3.0]]\n"
        "[[model.attention]]\nB = 2.0\nV = [[0.0, 1.0], [2.0, 3.0]]\n"
        "[[model.attention]]\nB = [[1.0, 2.0], [3.0, 4.0]]\nV = 1.0\nquery_bias = [1.0, 2.0]\nvalue_bias = [3.0, 4.0]\n"
    )
    problem = read_problem(write(tmp_path, text))
    one, two = problem.model.attention
    assert np.ndim(one.B) == np.ndim(two.V) == 0
    np.testing.assert_array_equal(two.query_bias, [1.0, 2.0])
    np.testing.assert_array_equal(two.value_bias, [3.0, 4.0])
    np.testing.assert_allclose(problem.start.mean, [2.0, 3.0])
    np.testing.assert_allclose(problem.start.cov, [[8 / 3, 4 / 3], [4 / 3, 8 / 3]])


@pytest.mark.parametrize("kind", ["piecewise", "interpolated"])
def test_depth_dependent_parameters(tmp_path, kind):
    models = "".join(
        f"[[model]]\n[model.feedforward]\nA = [[{i}.0, 1.0], [2.0, 0.5]]\nb = [0.0, {i}.0]\n" for i in (1, 3)
    )
    text = START + f'[depth]\nkind = "{kind}"\ntimes = [0.0, 2.0]\n' + models
    model = read_problem(write(tmp_path, text)).model
    first, second = (np.asarray(layer.feedforward.A)[0, 0] for layer in model.models)
    assert (type(model).__name__.lower(), first, second) == (kind, 1.0, 3.0)
    np.testing.assert_array_equal(model.times, [0.0, 2.0])
    assert float(np.asarray(model.at(np.float64(1.0) if kind == "piecewise" else 1.0).feedforward.A)[0, 0]) == (
        1.0 if kind == "piecewise" else 2.0
    )


def test_the_options_are_keyword_arguments_of_simulate(tmp_path):
    text = START + ATTENTION + "[simulate]\ntimes = [0, 0.5, 3]\nrtol = 1e-6\natol = 1e-9\nmax_steps = 10\nseed = 4\n"
    options = dict(read_problem(write(tmp_path, text)).options)
    np.testing.assert_array_equal(options.pop("ts"), [0.0, 0.5, 3.0])
    assert options == {"rtol": 1e-6, "atol": 1e-9, "max_steps": 10, "seed": 4}


def test_points_are_evenly_spaced_times_from_zero(tmp_path):
    options = read_problem(write(tmp_path, START + ATTENTION + "[simulate]\nt1 = 3\npoints = 4\n")).options
    np.testing.assert_allclose(options["ts"], [0.0, 1.0, 2.0, 3.0])
    assert "t1" not in options


def test_the_text_and_title_are_kept(tmp_path):
    text = 'title = "Émile"\n' + START + ATTENTION
    path = tmp_path / "problem.toml"
    path.write_text(text, encoding="utf-8")
    problem = read_problem(path)
    assert (problem.title, problem.text) == ("Émile", text)


BAD_FIELDS = {
    "text where a matrix is meant": (ATTENTION.replace(str(B), '"big"'), ("`model.attention.B`", "'big'", "quotes")),
    "text in a matrix": (ATTENTION.replace("0.75", '"0.75"'), ("`model.attention.B[1][1]`", "'0.75'", "quotes")),
    "a truth value": (ATTENTION.replace("0.75", "true"), ("`model.attention.B[1][1]`", "True")),
    "not finite": (ATTENTION.replace("0.75", "nan"), ("`model.attention.B`", "finite", "nan")),
    "ragged": (ATTENTION.replace(", 0.75", ""), ("`model.attention.B`", "row 1", "1 entries")),
    "a number among rows": (ATTENTION.replace("[-0.25, 0.75]", "3"), ("`model.attention.B`", "row 1", "a number")),
    "a vector": (ATTENTION.replace(str(B), "[1, 2]"), ("`model.attention.B`", "(2,)")),
    "wrong shape": (ATTENTION.replace(str(B), "[[1, 2, 3], [4, 5, 6]]"), ("`model.attention.B`", "(2, 2)", "(2, 3)")),
    "too large": (ATTENTION.replace("0.75", "9" * 400), ("`model.attention.B[1][1]`", "float64")),
    "no archive": (ATTENTION.replace(str(B), '"no.npz:B"'), ("`model.attention.B`", "no.npz", "no file")),
    "unknown key": (ATTENTION + "value_bais = [1, 2]\n", ("`model.attention.value_bais`", "did you mean `value_bias`")),
    "wrong case": (ATTENTION.replace("B =", "b ="), ("`model.attention.b`", "did you mean `B`")),
    "missing key": (ATTENTION.split("V =", maxsplit=1)[0], ("`model.attention.V`", "missing")),
    "unknown kind": (ATTENTION + 'kind = "softmx"\n', ("`model.attention.kind`", "'softmax'", "'softmx'")),
    "scale without Q": (ATTENTION + "scale = 2.0\n", ("`model.attention.scale`", "Q")),
    "Q without K": (ATTENTION.replace("B =", "Q ="), ("`model.attention`", "both `Q` and `K`")),
    "a table that is a number": ("model = 3\n", ("`model`", "table")),
    "an empty model": ("[model]\n", ("`model`", "attention", "feedforward")),
    "bias too long": (ATTENTION + "query_bias = [1, 2, 3]\n", ("`model.attention.query_bias`", "(2,)", "(3,)")),
    "Q too narrow": (
        ATTENTION.replace("B =", "K = [[1], [2]]\nQ ="), ("`model.attention.K`", "2 columns", "(2, 1)"),
    ),
    "Q and K disagree": (ATTENTION.replace("B =", "K = [[1, 2]]\nQ ="), ("`model.attention.K`", "`model.attention.Q`")),
    "A too large": (
        "[model.feedforward]\nA = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]\n", ("`model.feedforward.A`", "(2, 2)", "(3, 3)"),
    ),
    "t1 negative": (ATTENTION + "[simulate]\nt1 = -1\n", ("`simulate.t1`", "greater than 0", "-1")),
    "t1 as text": (ATTENTION + '[simulate]\nt1 = "4"\n', ("`simulate.t1`", "number", "'4'")),
    "times and t1": (ATTENTION + "[simulate]\nt1 = 1\ntimes = [0, 1]\n", ("`simulate`", "not both")),
    "times decrease": (ATTENTION + "[simulate]\ntimes = [0, 2, 1]\n", ("`simulate.times`", "increasing", "1 after 2")),
    "points alone": (ATTENTION + "[simulate]\npoints = 4\n", ("`simulate.points`", "`t1`")),
    "points not whole": (ATTENTION + "[simulate]\nt1 = 1\npoints = 4.5\n", ("`simulate.points`", "integer", "4.5")),
    "depth too long": (
        '[depth]\nkind = "piecewise"\ntimes = [0, 1, 2]\n' + ATTENTION, ("`depth.times`", "1 or 2 entries", "3"),
    ),
    "models of one kind only": (
        '[depth]\nkind = "interpolated"\ntimes = [0, 1]\n[[model]]\n[model.feedforward]\nA = 1\n'
        "[[model]]\n[model.feedforward]\nA = [[1, 2], [3, 4]]\n",
        ("`model[1]`", "same", "`model[0]`"),
    ),
    "no order of the models": (
        "[[model]]\n[model.feedforward]\nA = 1\n[[model]]\n[model.feedforward]\nA = 2\n", ("`depth`", "2", "missing"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_a_bad_field_is_named_with_what_was_found(tmp_path, case):
    text, expected = BAD_FIELDS[case]
    message = complaint(tmp_path, START + text if "model = " not in text else text + START)
    assert all(part in message for part in expected), message


BAD_STARTS = {
    "cov and factor": (
        "mean = [1, 2]\ncov = 1\nfactor = [[1], [2]]\n",
        ("`start`", "exactly one", "`cov` and `factor`"),
    ),
    "only a mean": ("mean = [1, 2]\n", ("`start`", "exactly one", "none")),
    "tokens and mean": ("mean = [1, 2]\ntokens = [[1, 2]]\n", ("`start.mean`", "remove it")),
    "no mean": ("cov = [[1, 0], [0, 1]]\n", ("`start.mean`", "add it")),
    "no tokens": ('tokens = "empty.npz:tokens"\n', ("`start.tokens`", "at least one token")),
    "asymmetric": ("mean = [1, 2]\ncov = [[1, 0], [0.5, 1]]\n", ("`start.cov`", "symmetric", "5.0e-01")),
    "indefinite": ("mean = [1, 2]\ncov = [[1, 2], [2, 1]]\n", ("`start.cov`", "positive semidefinite", "-1.0e+00")),
    "cov too large": ("mean = [1, 2]\ncov = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]\n", ("`start.cov`", "(2, 2)", "(3, 3)")),
    "factor too long": ("mean = [1, 2]\nfactor = [[1], [2], [3]]\n", ("`start.factor`", "2 rows")),
    "a number for a mean": ("mean = 1\ncov = 1\n", ("`start.mean`", "vector")),
}


@pytest.mark.parametrize("case", BAD_STARTS)
def test_a_bad_start_is_named_with_what_was_found(tmp_path, case):
    np.savez(tmp_path / "empty.npz", tokens=np.zeros((0, 2)))
    text, expected = BAD_STARTS[case]
    message = complaint(tmp_path, "[start]\n" + text + ATTENTION)
    assert all(part in message for part in expected), message


def test_of_several_heads_the_wrong_one_is_named(tmp_path):
    heads = "[[model.attention]]\nB = 1\nV = 1\n[[model.attention]]\nB = 1\nV = [[1, 2, 3]]\n"
    assert "`model.attention[1].V`" in complaint(tmp_path, START + heads)


def test_of_several_models_the_wrong_one_is_named(tmp_path):
    models = "[[model]]\n[model.feedforward]\nA = 1\n[[model]]\n[model.attention]\nB = 1\nV = [[1, inf], [1, 1]]\n"
    message = complaint(tmp_path, START + '[depth]\nkind = "piecewise"\ntimes = [0, 1]\n' + models)
    assert "`model[1].attention.V`" in message


def test_the_place_of_a_toml_error_is_given(tmp_path):
    message = complaint(tmp_path, START + "[model.attention\n")
    assert "line 4" in message
    assert "column" in message


def test_a_file_in_another_encoding_and_a_missing_one_are_named(tmp_path):
    (tmp_path / "latin.toml").write_bytes('title = "\xe9"'.encode("latin-1"))
    with pytest.raises(BadInput, match="UTF-8"):
        read_problem(tmp_path / "latin.toml")
    with pytest.raises(BadInput, match=r"nowhere\.toml.*no such file"):
        read_problem(tmp_path / "nowhere.toml")
    with pytest.raises(BadInput, match="readable"):
        read_problem(tmp_path)


def test_an_archive_of_objects_is_refused_and_nothing_in_it_runs(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.savez(tmp_path / "bad.npz", B=np.array([Bomb(), Bomb()], dtype=object))
    message = complaint(tmp_path, START + ATTENTION.replace(str(B), '"bad.npz:B"'))
    assert "`model.attention.B`" in message
    assert "objects" in message
    assert not (tmp_path / "ran").exists()


def test_an_archive_without_the_array_lists_what_it_has(tmp_path):
    np.savez(tmp_path / "p.npz", weights=np.eye(2), words=np.array(["a", "b"]))
    message = complaint(tmp_path, START + ATTENTION.replace(str(B), '"p.npz:B"'))
    assert "`B`" in message
    assert "weights" in message
    assert "dtype" in complaint(tmp_path, START + ATTENTION.replace(str(B), '"p.npz:words"'))
    (tmp_path / "p.npz").write_bytes(b"PK\x03\x04 not really")
    assert "damaged" in complaint(tmp_path, START + ATTENTION.replace(str(B), '"p.npz:B"'))


def test_the_title_must_be_text(tmp_path):
    assert "`title`" in complaint(tmp_path, "title = 3\n" + START + ATTENTION)


def test_an_unknown_table_is_named_before_what_is_missing_for_it(tmp_path):
    message = complaint(tmp_path, START.replace("[start]", "[strat]") + ATTENTION)
    assert message.startswith("`strat` is not a known key")
    assert "`start`" in message


def test_messages_survive_as_json(tmp_path):
    assert json.loads(json.dumps(complaint(tmp_path, START + "[model.attention\n")))
