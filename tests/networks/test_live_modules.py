"""A module that the user holds is left as it was, whatever happens."""

from __future__ import annotations

import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.networks.encoder import open_encoder
from networks.tiny import inputs, item, tiny, tokenizer, torch


def hooks(model) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


@pytest.fixture
def training():
    """A model in the middle of training: modes mixed, eager attention, gradients there."""
    model = tiny("bert", hidden_dropout_prob=0.5)
    model.train()
    model.encoder.layer[1].eval()
    model.set_attn_implementation("eager")
    model(**inputs("bert")).last_hidden_state.square().sum().backward()
    return model


def condition(model):
    return (
        [part.training for part in model.modules()],
        model.config._attn_implementation,
        hooks(model),
        [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()],
        torch.get_rng_state(),
    )


def same(one, other) -> bool:
    grads = all(
        a[0] == b[0] and (a[1] is b[1] or torch.equal(a[1], b[1])) for a, b in zip(one[3], other[3], strict=True)
    )
    return one[:3] == other[:3] and grads and torch.equal(one[4], other[4])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_module_is_left_as_it_was_even_after_an_exception(training, error, rng):
    before = condition(training)
    encoder = open_encoder(training)
    assert same(condition(training), before)
    encoder.run(item("bert"), lambda layer, inside: None)
    assert same(condition(training), before)

    def visit(layer, inside):
        assert not any(part.training for part in training.modules())
        if layer == 1:
            raise error

    with pytest.raises(error):
        encoder.run_tokens(rng.standard_normal((5, 24)), visit)
    assert same(condition(training), before)


def test_hooks_are_gone_when_a_block_fails(training, rng, monkeypatch):
    encoder = open_encoder(training)
    broken = training.encoder.layer[1].intermediate
    monkeypatch.setattr(broken, "forward", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encoder.run_tokens(rng.standard_normal((5, 24)), lambda layer, inside: None)
    assert hooks(training) == 0


def test_dropout_is_off_and_training_goes_on_afterwards(training):
    encoder = open_encoder(training)
    one, two = (encoder.run(item("bert")) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, open_encoder(tiny("bert")).run(item("bert")), rtol=0, atol=1e-6)
    training(**inputs("bert")).last_hidden_state.sum().backward()


def test_autocast_around_a_run_changes_nothing(rng):
    encoder = open_encoder(tiny("gpt2"))
    tokens = rng.standard_normal((9, 24))
    plain = encoder.run_tokens(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(encoder.run_tokens(tokens), plain)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("bert", "BertForMaskedLM"),
        ("bert", "BertForSequenceClassification"),
        ("vit", "ViTForImageClassification"),
        ("deit", "DeiTForImageClassificationWithTeacher"),
        ("modernbert", "ModernBertForMaskedLM"),
        ("gpt2", "GPT2LMHeadModel"),
    ],
)
def test_a_head_is_taken_off(name, head):
    whole = tiny(name, head=head)
    encoder = open_encoder(whole)
    bare = open_encoder(whole.base_model)
    assert encoder.model is whole.base_model
    assert encoder.name == head
    np.testing.assert_array_equal(encoder.run(item(name)), bare.run(item(name)))
    assert encoder.fingerprint == bare.fingerprint


def test_the_wrapper_of_compile_is_taken_off():
    model = tiny("bert")
    assert open_encoder(torch.compile(model, backend="eager")).model is model


@pytest.mark.parametrize("module", [torch.nn.Linear(3, 3), torch.nn.Sequential(torch.nn.Linear(3, 3))])
def test_a_module_of_no_known_family_is_refused(module):
    with pytest.raises(BadInput, match=r"must be one of BERT, ViT, DeiT, ModernBERT, GPT-2: a module of class"):
        open_encoder(module)


@pytest.mark.parametrize("part", [lambda model: model.encoder, lambda model: tiny("bert", num_hidden_layers=0)])
def test_a_part_of_a_model_or_one_without_blocks_is_refused(part):
    with pytest.raises(BadInput, match=r"must be a whole BERT.* has no blocks at their place; give the whole"):
        open_encoder(part(tiny("bert")))


def test_random_weights_cannot_be_asked_of_a_module():
    with pytest.raises(BadInput, match="`random_init` needs a configuration"):
        open_encoder(tiny("bert"), random_init=True)


def test_a_tokenizer_object_may_be_given_beside_a_module():
    model = tiny("bert")
    with pytest.raises(BadInput, match="`text` needs a tokenizer"):
        open_encoder(model).read_text(["a1 a2"])
    (found,) = open_encoder(model, tokenizer=tokenizer()).read_text(["a1 a2 nothing"])
    assert found.inputs()["input_ids"].tolist() == [[0, 4, 5, 2, 1]]
    assert (found.tokens, found.truncated) == (5, False)


def test_what_a_visitor_is_shown_cannot_be_written_and_not_every_token_array_fits(rng):
    encoder = open_encoder(tiny("bert"))

    def visit(layer, inside):
        with pytest.raises(ValueError, match="read-only"):
            inside.state[0, 0] = 1.0

    encoder.run_tokens(rng.standard_normal((4, 24)), visit)
    with pytest.raises(BadInput, match=r"`tokens` must have shape \(n, 24\)"):
        encoder.run_tokens(rng.standard_normal((4, 23)))
    with pytest.raises(BadInput, match="`tokens` must be finite"):
        encoder.run_tokens(np.full((4, 24), np.nan))


def test_one_changed_weight_changes_the_fingerprint_and_the_unused_pooler_does_not():
    model = tiny("bert")
    before = open_encoder(model).fingerprint
    with torch.no_grad():
        model.pooler.dense.weight[0, 0] += 1.0
    assert open_encoder(model).fingerprint == before
    with torch.no_grad():
        model.encoder.layer[2].output.dense.weight[0, 0] += 1e-3
    changed = open_encoder(model).fingerprint
    assert changed != before
    model.encoder.layer[0].attention.self.scaling *= 1.5
    assert open_encoder(model).fingerprint not in {before, changed}
