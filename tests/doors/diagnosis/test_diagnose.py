"""The door `diagnose` on a small BERT with random weights that are not trivial."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import attnflow as af  # noqa: E402
from attnflow import BadInput  # noqa: E402
from attnflow.doors.diagnosis import row as rows  # noqa: E402

WORDS = (
    "the", "cat", "sat", "on", "a", "mat", "while", "rain", "fell", "over", "red", "roofs", "and", "quiet", "streets",
    "of", "an", "old", "town",
)  # fmt: skip


def small_bert(seed=0, layers=2, width=24):
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=64, hidden_size=width, num_hidden_layers=layers, num_attention_heads=3, intermediate_size=48,
        max_position_embeddings=64,
    )  # fmt: skip
    model = transformers.BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


class Words:
    """A tokenizer of whole words: [CLS] words [SEP]."""

    model_max_length = 64

    def __call__(self, text, truncation=False, max_length=None, **more):
        return {"input_ids": [1, *(2 + WORDS.index(word) for word in text.split()), 0]}


@pytest.fixture(scope="module")
def model():
    return small_bert()


@pytest.fixture(scope="module")
def passages():
    rng = np.random.default_rng(5)
    return [" ".join(rng.choice(WORDS, size=rng.choice([5, 9, 13]))) for _ in range(44)]


@pytest.fixture(scope="module")
def probe(model):
    return af.diagnose(model, tokens=96, batches=3, seed=4)


def test_the_probe_measures_the_states_that_the_network_itself_computes(model, probe):
    cloud = torch.tensor(np.random.default_rng([4, 1]).standard_normal((96, 24), dtype=np.float32))[None]
    with torch.inference_mode():
        for layer in range(3):
            x = cloud[0].double().numpy()
            measured = probe.layers.sel(batch=1, layer=layer)
            cov = np.cov(x.T, bias=True)
            assert float(measured["cov_trace"]) == pytest.approx(np.trace(cov), rel=1e-5)
            assert float(measured["mean_norm"]) == pytest.approx(np.linalg.norm(x.mean(axis=0)), rel=1e-5)
            assert float(measured["effective_rank"]) == pytest.approx(np.trace(cov) ** 2 / np.sum(cov**2), rel=1e-4)
            if layer < 2:
                cloud = model.encoder.layer[layer](cloud)


def test_dimensions_and_labels_are_those_of_the_contract(probe):
    assert dict(probe.layers.sizes) | {"layer": 3, "block": 2, "batch": 3, "head": 3} == dict(probe.layers.sizes)
    assert probe.layers["r2"].dims == ("batch", "block")
    assert probe.layers["logit_variance"].dims == ("batch", "block", "head")
    assert set(probe.heads.data_vars) >= {"B_trace_ratio", "V_trace_ratio", "rank_B"}
    assert probe.verdict.line.startswith("on Gaussian tokens (a probe, not your data)")
    assert probe.comparison is None
    assert probe.tripped == ()
    assert "bounded" not in " ".join(map(str, (probe.verdict.line, *probe.verdict.findings)))


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(model, probe):
    again = af.diagnose(model, tokens=96, batches=2, seed=4)
    other = af.diagnose(model, tokens=96, batches=2, seed=5)
    first = probe.layers["sliced_w2"].isel(batch=slice(0, 2))
    assert np.array_equal(again.layers["sliced_w2"], first)
    assert not np.any(other.layers["sliced_w2"].to_numpy() == first.to_numpy())


def test_passages_are_measured_one_by_one_and_pooled(model, passages):
    found = af.diagnose(model, passages, tokenizer=Words(), seed=1)
    assert found.inputs["words"] == "44 passages"
    assert found.layers["tokens"].to_numpy().tolist() == [len(p.split()) + 2 for p in passages]
    pooled_tokens = []
    with torch.inference_mode():
        for passage in passages:
            ids = torch.tensor([Words()(passage)["input_ids"]])
            pooled_tokens.append(model(ids).last_hidden_state[0].double().numpy())
    everything = np.concatenate(pooled_tokens)
    last = found.layers.isel(layer=-1)
    assert float(last["pooled_cov_trace"]) == pytest.approx(np.trace(np.cov(everything.T, bias=True)), rel=1e-5)
    for i in (0, 7):
        own = np.trace(np.cov(pooled_tokens[i].T, bias=True))
        assert float(last["cov_trace"].sel(sequence=i)) == pytest.approx(own, rel=1e-5)
    assert np.allclose(found.item_output[3], pooled_tokens[3].mean(axis=0), atol=1e-5)


def test_a_saved_diagnosis_comes_back_and_can_be_compared_with(model, passages, tmp_path):
    found = af.diagnose(model, passages, tokenizer=Words(), seed=1)
    found.save(tmp_path / "before.nc")
    back = af.load(tmp_path / "before.nc")
    assert back.verdict == found.verdict
    assert back.model == found.model
    assert back.labels == found.labels
    for name in found.layers:
        assert np.array_equal(
            back.layers[name].astype(found.layers[name].dtype),
            found.layers[name],
            equal_nan=found.layers[name].dtype.kind == "f",
        ), name
    same = af.diagnose(model, passages, tokenizer=Words(), seed=1, against=tmp_path / "before.nc")
    assert same.comparison.identical
    changed = small_bert()
    with torch.no_grad():
        changed.encoder.layer[1].output.dense.weight.mul_(1.5)
    live = af.diagnose(changed, passages, tokenizer=Words(), seed=1, against=model)
    stored = af.diagnose(changed, passages, tokenizer=Words(), seed=1, against=back)
    assert np.array_equal(live.comparison.cosine, stored.comparison.cosine)
    assert live.comparison.drift.start == 2
    assert live.comparison.drift.value[1] == 0
    live.save(tmp_path / "live.nc")
    again = af.load(tmp_path / "live.nc")
    assert np.array_equal(again.comparison.cosine, live.comparison.cosine)
    assert again.comparison.drift.start == 2


def test_the_gate_trips_and_does_not_trip(model, passages):
    changed = small_bert(seed=3)
    options = dict(tokenizer=Words(), seed=1, against=model, fail_on="overlap10 < 0.95")
    tripped = af.diagnose(changed, passages, **options).tripped
    assert [trip.condition.field for trip in tripped] == ["overlap10"]
    assert tripped[0].value < 0.95
    assert af.diagnose(model, passages, **options).tripped == ()


def test_two_networks_are_compared_on_the_same_gaussian_tokens(model):
    changed = small_bert()
    with torch.no_grad():
        changed.encoder.layer[0].attention.output.dense.weight.mul_(3)
    found = af.diagnose(changed, tokens=64, batches=2, against=model)
    assert found.comparison.inputs == 64
    assert found.comparison.drift.start == 1
    assert found.comparison.drift.value[0] == 0


def test_an_interrupt_keeps_finished_batches_and_the_same_call_goes_on(model, probe, tmp_path, monkeypatch):
    plain = rows.measure_state
    calls = []

    def interrupting(tokens, axes, *, spread):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return plain(tokens, axes, spread=spread)

    monkeypatch.setattr(rows, "measure_state", interrupting)
    found = af.diagnose(model, tokens=96, batches=3, seed=4, resume=tmp_path)
    assert found.status == "interrupted"
    assert found.layers.sizes["batch"] == 1
    assert (found.inputs["count"], found.inputs["asked"]) == (1, 3)
    assert len(list(tmp_path.iterdir())) == 1
    done = len(calls)
    finished = af.diagnose(model, tokens=96, batches=3, seed=4, resume=tmp_path)
    assert finished.status == "finished"
    assert len(calls) - done == 6  # two batches of three states
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(finished.layers["cov_trace"], probe.layers["cov_trace"])
    assert np.array_equal(finished.item_state, probe.item_state)


def test_an_interrupt_before_anything_is_done_is_an_interrupt(model, monkeypatch):
    def interrupted(tokens, axes, *, spread):
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "measure_state", interrupted)
    with pytest.raises(KeyboardInterrupt):
        af.diagnose(model, tokens=96, batches=2)


def test_saved_states_are_measured_without_a_model(tmp_path):
    rng = np.random.default_rng(0)
    states = {f"s{i}": rng.standard_normal((3, 9 + i, 6)) for i in range(4)}
    np.savez(tmp_path / "states.npz", **states)
    found = af.diagnose(tmp_path / "states.npz")
    assert found.layers["cov_trace"].shape == (4, 3)
    assert np.isnan(found.layers["r2"]).all()
    assert "saved hidden states" in str(found.layers["reason"].to_numpy()[0])
    want = np.trace(np.cov(states["s2"][1].T, bias=True))
    assert float(found.layers["cov_trace"].sel(sequence=2, layer=1)) == pytest.approx(want, rel=1e-5)
    found.to_html(tmp_path / "states.html")
    json.dumps(found.to_dict(), allow_nan=False)
    found.plot()
    other = {name: array + 0.5 * rng.standard_normal(array.shape) for name, array in states.items()}
    np.savez(tmp_path / "other.npz", **other)
    assert af.diagnose(tmp_path / "states.npz", against=tmp_path / "other.npz").comparison.drift.start == 0


def test_when_every_input_overflows_that_is_said_with_the_layer(tmp_path):
    states = np.random.default_rng(1).standard_normal((4, 9, 6))
    states[2:] *= 1e25
    np.savez(tmp_path / "wild.npz", one=states, two=2 * states)
    with pytest.raises(BadInput, match="blows up: every input is beyond 1e15, or not a number, from layer 2 on"):
        af.diagnose(tmp_path / "wild.npz")


def test_saved_states_that_overflow_are_counted(tmp_path):
    rng = np.random.default_rng(1)
    states = {name: rng.standard_normal((3, 9, 6)) for name in ("calm", "wild", "mild")}
    states["wild"][2] *= 1e30
    np.savez(tmp_path / "states.npz", **states)
    found = af.diagnose(tmp_path / "states.npz")
    assert found.verdict.line.startswith("overflow in 1 of 3 inputs (first at layer 2)")
    assert found.labels == ("calm", "mild")
    assert found.layers.sizes["sequence"] == 2
    assert found.inputs["overflow"] == {"1": 2}


def test_the_place_of_a_passage_changes_no_number(model, passages):
    few = passages[:9]
    one, two = (af.diagnose(model, some, tokenizer=Words()) for some in (few, few[::-1]))
    for name in ("r2_ceiling", "sliced_w2", "effective_rank"):
        assert np.array_equal(one.layers[name], two.layers[name][::-1], equal_nan=True)


def test_another_pooling_or_tokenizer_does_not_take_up_the_work_of_this_one(model, passages):
    from attnflow.doors.diagnosis.diagnose import _key
    from attnflow.doors.diagnosis.inputs import text_inputs
    from attnflow.networks.encoder import open_encoder

    class Reversed(Words):
        def __call__(self, text, **more):
            return super().__call__(" ".join(text.split()[::-1]))

    encoder, other = (open_encoder(model, tokenizer=kind()) for kind in (Words, Reversed))
    keys = {_key(e, text_inputs(e, passages[:4], seed=0), None, 0) for e in (encoder, other)}
    assert len(keys) == 2


def test_the_page_stands_alone_and_json_has_no_nan(model, passages, tmp_path):
    odd = ["the cat <script>" if i == 3 else p for i, p in enumerate(passages)]

    class Lenient(Words):
        def __call__(self, text, **more):
            return super().__call__(text.replace("<script>", "mat"))

    found = af.diagnose(model, odd, tokenizer=Lenient(), against=small_bert(seed=9), fail_on="overlap10 < 0.99")
    found.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert found.verdict.line in page.replace("&#x27;", "'")
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "The gate tripped" in page
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["tripped"][0]["field"] == "overlap10"
    assert len(told["layers"]["effective_rank"]) == 3
    assert len(told["comparison"]["moved"]) == 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tokens": 25}, "`tokens` must be at least 26"),
        ({"tokens": 2.5}, "`tokens` must be a whole number"),
        ({"batches": 0}, "`batches` must be a whole number"),
        ({"text": []}, "at least one passage"),
        ({"text": "absent.txt"}, "no file `absent.txt`"),
        ({"text": ["cat"], "images": "folder"}, "exclude each other"),
        ({"images": "folder"}, "reads text"),
        ({"text": ["cat"]}, "tokenizer"),
        ({"fail_on": "overlap10 <"}, "`fail_on` must be conditions"),
        ({"fail_on": "overlap11 < 1"}, "did you mean"),
        ({"fail_on": "overlap10 < 1"}, "another model to compare with|needs"),
        ({"against": "absent.nc"}, "no such file"),
        ({"fail_on": "pooled_token_cosine_last > 0.9"}, "needs real input"),
    ],
)
def test_bad_input_gets_one_line_before_any_work(model, arguments, words, monkeypatch):
    monkeypatch.setattr(rows, "measure_state", lambda *a, **more: pytest.fail("work was started"))
    with pytest.raises(BadInput, match=words) as caught:
        af.diagnose(model, **({"tokens": 96, "batches": 2} | arguments))
    assert "\n" not in str(caught.value)


def test_a_gate_on_neighbours_needs_enough_inputs(model, passages):
    with pytest.raises(BadInput, match="at least 41 inputs"):
        af.diagnose(model, passages[:20], tokenizer=Words(), against=model, fail_on="overlap10 < 0.95")


def test_an_empty_text_file_is_refused(model, tmp_path):
    (tmp_path / "empty.txt").write_text("\n  \n")
    with pytest.raises(BadInput, match="is empty"):
        af.diagnose(model, tmp_path / "empty.txt", tokenizer=Words())


def test_other_inputs_than_those_of_a_saved_diagnosis_are_refused(model, passages):
    before = af.diagnose(model, passages[:12], tokenizer=Words())
    with pytest.raises(BadInput, match="on the same inputs"):
        af.diagnose(model, passages[1:13], tokenizer=Words(), against=before)
