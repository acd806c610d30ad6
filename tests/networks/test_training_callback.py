"""The training callback: its numbers against transformers and NumPy, and a training that does not notice it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.doors.training_callback import TrainingCallback
from networks.tiny import VOCABULARY, tiny, tokenizer, torch, transformers

PASSAGES = [
    "a1 a2 a3 a4 a5 a6 a7 a8 a9 a10",
    "a30 a4 a7 a31 a32 a5 a6 a22 a11 a12 a1 a3",
    "a9 a8 a1 a40 a41 a42 a43 a44",
]


def padded(*, n: int = 15, seed: int = 4) -> dict:
    """Three sequences of tokens, the second with padding on its left, the third on its right."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (3, n), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, :3], mask[2, -4:] = 0, 0
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.clone()}


def train(name: str = "bert", *, steps: int = 20, callback=None, dtype=torch.float32):
    """A language model in a loop of PyTorch, with dropout: its losses and its weights."""
    head = {"bert": "BertForMaskedLM", "gpt2": "GPT2LMHeadModel", "modernbert": "ModernBertForMaskedLM"}[name]
    model = tiny(name, head=head, **({"hidden_dropout_prob": 0.2} if name == "bert" else {})).to(dtype).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        losses = []
        for step in range(steps):
            ids = torch.randint(3, VOCABULARY, (4, 12))
            loss = model(input_ids=ids, labels=ids).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if callback is not None:
                callback(model, step)
    return losses, [p.detach().clone() for p in model.parameters()], model


@pytest.mark.parametrize("name", ["bert", "gpt2", "modernbert"])
def test_training_is_the_same_to_the_last_bit_with_and_without_it(name):
    steps = 20 if name == "bert" else 4
    plain = train(name, steps=steps)
    callback = TrainingCallback(every=steps // 4, batch=padded())
    watched = train(name, steps=steps, callback=callback)
    assert watched[0] == plain[0]
    assert all(torch.equal(a, b) for a, b in zip(watched[1], plain[1], strict=True))
    assert [row["step"] for row in callback.history] == [0, steps // 4, 2 * (steps // 4), 3 * (steps // 4)]
    assert all(np.isfinite(list(row.values())).all() for row in callback.history)
    assert callback.history[0] != callback.history[-1]
    assert watched[2].training


def test_states_are_those_of_transformers_without_the_padding():
    model, batch = tiny("bert"), padded()
    numbers = TrainingCallback(every=1, batch=batch)(model, 0)
    rows = []
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True):
        with torch.no_grad():
            states = model(input_ids=ids[mask][None], output_hidden_states=True).hidden_states
        row = {}
        for layer, state in enumerate(states):
            x = state[0].double().numpy()
            cov = np.cov(x.T, bias=True)
            unit = x / np.linalg.norm(x, axis=1, keepdims=True)
            row[f"layer{layer}/effective_rank"] = np.trace(cov) ** 2 / np.linalg.norm(cov) ** 2
            row[f"layer{layer}/token_cosine"] = (unit @ unit.T)[~np.eye(len(x), dtype=bool)].mean()
            row[f"trace{layer}"] = np.trace(cov)
        for block in range(3):
            row[f"block{block}/growth"] = np.log(row[f"trace{block + 1}"] / row[f"trace{block}"])
        row["growth"] = np.log(row["trace3"] / row["trace0"])
        row |= {name: row[f"layer3/{name}"] for name in ("effective_rank", "token_cosine")}
        rows.append(row)
    for name in rows[0]:
        if not name.startswith("trace"):
            wanted = np.median([row[name] for row in rows])
            assert numbers[f"attnflow/{name}"] == pytest.approx(wanted, rel=1e-4, abs=1e-5), name


def test_the_logit_variance_is_that_of_the_logits_of_the_model():
    model = tiny("bert")
    numbers = TrainingCallback(every=1, batch=400, seed=3)(model, 0)
    tokens = torch.tensor(np.random.default_rng(3).standard_normal((400, 24)), dtype=torch.float32)
    own, variances = model.encoder.layer[0].attention.self, []
    with torch.no_grad():
        query, key = (part(tokens).reshape(400, 3, 8).transpose(0, 1).double() for part in (own.query, own.key))
    for q, k in zip(query, key, strict=True):
        variances.append(float((q @ k.T / np.sqrt(8)).var(dim=1, correction=0).mean()))
    # 128 of the 400 tokens ask.
    assert numbers["attnflow/block0/logit_variance"] == pytest.approx(max(variances), rel=0.1)
    share = numbers["attnflow/block0/logit_variance"] / (2 * np.log(400))
    assert numbers["attnflow/block0/logit_share"] == pytest.approx(share)
    heads = [numbers[f"attnflow/block{block}/logit_variance"] for block in range(3)]
    assert numbers["attnflow/logit_variance"] == max(heads)


def test_where_logits_are_small_gaussian_tokens_are_predicted_and_large_logits_are_not():
    small, large = tiny("bert"), tiny("bert")
    with torch.no_grad():
        for layer in small.encoder.layer:
            layer.attention.self.query.weight.mul_(0.2)
        for layer in large.encoder.layer:
            layer.attention.self.query.weight.mul_(10.0)
    calm, sharp = (TrainingCallback(every=1, batch=512)(model, 0) for model in (small, large))
    assert calm["attnflow/block0/r2"] > 0.9
    assert calm["attnflow/block0/r2_ceiling"] > 0.9
    assert sharp["attnflow/block0/r2"] < 0.5
    assert sharp["attnflow/logit_share"] > 1 > calm["attnflow/logit_share"]
    blocks = [sharp[f"attnflow/block{block}/r2"] for block in range(3)]
    assert sharp["attnflow/r2"] == pytest.approx(np.median(blocks))


def test_texts_and_their_tokens_give_the_same_numbers():
    model, reader = tiny("bert"), tokenizer()
    reader.pad_token = "a0"
    batch = reader(PASSAGES, padding=True, return_tensors="pt")
    from_texts = TrainingCallback(every=1, batch=PASSAGES, tokenizer=reader)(model, 0)
    from_tensors = TrainingCallback(every=1, batch=batch)(model, 0)
    assert from_texts == from_tensors


def test_the_second_segment_of_a_pair_is_not_taken_for_the_first():
    model, batch = tiny("bert"), padded()
    kinds = torch.zeros_like(batch["input_ids"])
    plain, zero = (TrainingCallback(every=1, batch=b)(model, 0) for b in (batch, batch | {"token_type_ids": kinds}))
    kinds[:, 7:] = 1
    pairs = TrainingCallback(every=1, batch=batch | {"token_type_ids": kinds})(model, 0)
    assert plain == zero != pairs
    with pytest.raises(BadInput, match="must not hold `token_type_ids` for GPT-2"):
        TrainingCallback(every=1, batch=batch | {"token_type_ids": kinds})(tiny("gpt2"), 0)


def test_pictures_are_measured():
    model = tiny("vit")
    pixels = torch.randn((2, 3, 16, 24), generator=torch.Generator().manual_seed(0))
    numbers = TrainingCallback(every=1, batch={"pixel_values": pixels})(model, 0)
    with torch.no_grad():
        states = [model(pixel_values=p[None], output_hidden_states=True).hidden_states for p in pixels]
    growth = [float(torch.log(s[1][0].var(0).sum() / s[0][0].var(0).sum())) for s in states]
    assert numbers["attnflow/block0/growth"] == pytest.approx(np.median(growth), rel=1e-4)
    with pytest.raises(BadInput, match=r"`batch` must hold pictures of shape \(3, 16, 24\)"):
        TrainingCallback(every=1, batch={"pixel_values": pixels[..., :16]})(model, 0)


def test_a_model_in_sixteen_bits_is_measured_and_stays_so():
    model = train(steps=4, callback=(callback := TrainingCallback(every=2, batch=padded())), dtype=torch.bfloat16)[2]
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    exact = TrainingCallback(every=1, batch=padded())(model.float().eval(), 0)
    rounded = TrainingCallback(every=1, batch=padded())(model.bfloat16(), 0)
    assert len(callback.history) == 2
    assert rounded.keys() == exact.keys()
    assert rounded["attnflow/effective_rank"] == pytest.approx(exact["attnflow/effective_rank"], rel=0.05)


@pytest.mark.filterwarnings("ignore:.*CPU Autocast")
def test_autocast_around_the_loop_changes_no_number():
    model = tiny("bert").train()
    plain = TrainingCallback(every=1, batch=64)(model, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert TrainingCallback(every=1, batch=64)(model, 0) == plain
        assert torch.is_autocast_enabled("cpu")


def test_a_training_that_overflowed_is_told_so_and_goes_on():
    model = tiny("bert")
    with torch.no_grad():
        model.encoder.layer[1].output.LayerNorm.bias[0] = float("nan")
    callback = TrainingCallback(every=1, batch=64)
    healthy = tiny("bert")
    callback(healthy, 0)
    healthy.load_state_dict(model.state_dict())
    numbers = callback(healthy, 1)
    assert numbers["attnflow/not_finite_from_layer"] == 2
    assert "attnflow/block0/growth" in numbers
    assert "attnflow/block1/growth" not in numbers
    assert "attnflow/growth" not in numbers
    assert np.isfinite(list(numbers.values())).all()


def test_nothing_is_predicted_for_a_block_that_an_adapter_changed():
    model, callback = tiny("bert"), TrainingCallback(every=1, batch=64)
    before = callback(model, 0)
    hook = model.encoder.layer[1].attention.self.query.register_forward_hook(lambda _, given, out: out + 2 * given[0])
    after = callback(model, 1)
    hook.remove()
    assert set(before) - set(after) == {
        f"attnflow/block1/{x}" for x in ("logit_variance", "logit_share", "r2", "r2_ceiling")
    }
    assert after["attnflow/block1/growth"] != before["attnflow/block1/growth"]


def test_a_compiled_model_is_neither_compiled_again_nor_changed():
    model = tiny("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    compiled, calls = torch.compile(model, backend=lambda graph, _: calls.append(graph) or graph.forward), []
    batch = padded()["input_ids"]
    before = compiled(input_ids=batch).last_hidden_state
    numbers = TrainingCallback(every=1, batch=64)(compiled, 0)
    assert torch.equal(compiled(input_ids=batch).last_hidden_state, before)
    assert len(calls) == 1
    assert numbers == TrainingCallback(every=1, batch=64)(model, 0)


def test_the_handler_of_the_trainer_logs_after_its_steps():
    """The protocol of transformers: the handler calls every event of every callback by name."""
    from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback, TrainerControl, TrainerState

    logged = []
    callback = TrainingCallback(every=2, batch=PASSAGES, log=lambda numbers, step: logged.append((step, numbers)))
    model = tiny("bert").train()
    handler = CallbackHandler([DefaultFlowCallback, callback], model, tokenizer(), None, None)
    args = SimpleNamespace(
        logging_first_step=False, logging_strategy="no", eval_strategy="no", save_strategy="no", logging_steps=1
    )
    state, control = TrainerState(max_steps=9, logging_steps=1, eval_steps=1, save_steps=1), TrainerControl()
    handler.on_init_end(args, state, control)
    handler.on_train_begin(args, state, control)
    for step in (1, 2, 3, 4):
        handler.on_step_begin(args, state, control)
        handler.on_pre_optimizer_step(args, state, control)
        handler.on_optimizer_step(args, state, control)
        state.global_step = step
        assert handler.on_step_end(args, state, control) is control
    handler.on_log(args, state, control, logs={})
    handler.on_evaluate(args, state, control, metrics={})
    handler.on_save(args, state, control)
    handler.on_train_end(args, state, control)
    state.is_world_process_zero, state.global_step = False, 6
    handler.on_step_end(args, state, control)
    assert [step for step, _ in logged] == [2, 4]
    assert callback.history == [{"step": step, **numbers} for step, numbers in logged]
    assert model.training
    assert callable(callback.on_an_event_of_a_later_version)
    with pytest.raises(AttributeError):
        callback.another_name  # noqa: B018


def test_the_trainer_itself_takes_it(tmp_path):
    pytest.importorskip("accelerate")
    callback = TrainingCallback(every=1, batch=32)
    ids = torch.randint(3, VOCABULARY, (12,), generator=torch.Generator().manual_seed(1))
    args = transformers.TrainingArguments(str(tmp_path), max_steps=2, report_to=[], disable_tqdm=True, use_cpu=True)
    model = tiny("bert", head="BertForMaskedLM")
    data = [{"input_ids": ids, "labels": ids}] * 8
    transformers.Trainer(model, args, train_dataset=data, callbacks=[callback]).train()
    assert [row["step"] for row in callback.history] == [1, 2]


def test_steps_between_are_skipped_and_cost_nothing():
    callback = TrainingCallback(every=5, batch=32)
    assert callback("no model is looked at", 3) is None
    assert callback.history == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"every": 0}, "`every` must be a number of steps, at least 1: 0"),
        ({"every": 2.5}, "`every` must be a number of steps"),
        ({"log": "wandb"}, r"`log` must be callable with \(numbers, step\): str"),
        ({"batch": 4}, "`batch` must be from 8 to 8192 Gaussian tokens: 4"),
        ({"batch": []}, "`batch` must be texts, the named tensors of a batch, or a number"),
        ({"batch": {"labels": [1]}}, "`batch` must hold `input_ids` or `pixel_values`: labels"),
        ({"batch": {"input_ids": [1, 2, 3]}}, r"`input_ids` has shape \(3,\)"),
        ({"batch": {"input_ids": [[1, 2]], "attention_mask": [[1]]}}, r"`attention_mask` has shape \(1, 1\)"),
        ({"batch": {"input_ids": [[1, 2]], "attention_mask": [[0, 0]]}}, "leaves one empty"),
    ],
)
def test_bad_input_is_named_before_the_training(given, message):
    with pytest.raises(BadInput, match=message):
        TrainingCallback(**({"every": 1, "batch": 64} | given))


@pytest.mark.parametrize(
    ("model", "batch", "message"),
    [
        (lambda: torch.nn.Linear(3, 3), 64, "a module of class Linear"),
        (lambda: "bert", 64, "`model` must be a torch.nn.Module: str"),
        (lambda: tiny("bert"), PASSAGES, "`text` needs a tokenizer"),
        (lambda: tiny("vit"), padded(), "`batch` must hold `pixel_values` for"),
        (lambda: tiny("bert"), {"input_ids": [[1, 2, 99]]}, "`batch` must hold tokens from 0 to 59"),
        (lambda: tiny("bert"), {"input_ids": np.ones((1, 41), int)}, "sequences of at most 40 tokens: 41"),
        (lambda: tiny("bert"), {"input_ids": np.ones((300, 40), int)}, "at most 8192 tokens: 12000"),
    ],
)
def test_what_does_not_fit_is_named_at_the_first_measurement(model, batch, message):
    with pytest.raises(BadInput, match=message):
        TrainingCallback(every=1, batch=batch)(model(), 0)


def test_the_module_imports_no_torch():
    code = "import sys, attnflow.doors.training_callback; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == "set()"
