"""The proof at load: what is changed in a forward pass, or wrong in the arrays, is refused and named."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.diagnostics.attention import Keys
from attnflow.networks.encoder import open_encoder
from attnflow.networks.families import family_of
from networks.tiny import OF_A_FAMILY, tiny, torch


def patch(module, change):
    """`module` whose forward pass is followed by `change`."""
    own = module.forward

    def forward(self, *arguments, **named):
        output = own(*arguments, **named)
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    module.forward = types.MethodType(forward, module)


@pytest.mark.parametrize("name", OF_A_FAMILY)
def test_a_doubled_attention_is_refused_and_its_layer_named(name):
    model = tiny(name)
    family = family_of(model.config.model_type)
    patch(family.writer(family.blocks(model)[1]), lambda output: 2 * output)
    with pytest.raises(BadInput, match=r"in layer 1 the attention differs by 5\.0e-01"):
        open_encoder(model)


def test_logits_without_their_scale_are_refused_where_the_module_does_not_say_so():
    model = tiny("bert")
    own = model.encoder.layer[2].attention.self
    query = own.query
    patch(query, lambda output: output * np.sqrt(8))
    with pytest.raises(BadInput, match="in layer 2 the attention differs"):
        open_encoder(model)
    own.query.forward = types.MethodType(torch.nn.Linear.forward, query)
    own.scaling = 1.0  # said by the module, and therefore seen
    assert open_encoder(model).attentions[2].scale == 1.0


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda block: patch(block.ln_2, lambda output: 1.01 * output), None),
        (lambda block: patch(block.mlp, lambda output: 1.01 * output), None),
        (lambda block: patch(block, lambda output: output + 0.01), "block around its attention"),
        (lambda block: patch(block, torch.zeros_like), "block around its attention"),
    ],
)
def test_norms_and_feed_forward_are_taken_from_the_modules_and_the_rest_of_a_block_is_proved(change, part):
    model = tiny("gpt2")
    change(model.h[0])
    if part is None:  # the parts themselves may do what they like
        open_encoder(model)
    else:
        with pytest.raises(BadInput, match=f"in layer 0 the {part} differs"):
            open_encoder(model)


def test_a_block_that_changes_what_its_heads_read_is_refused():
    model = tiny("vit")
    block = model.layers[1]
    block.forward = types.MethodType(
        lambda self, state, *_, **__: state + self.attention(state)[0] + self.mlp(state), block
    )
    with pytest.raises(BadInput, match=r"in layer 1 the (norm before attention|block around its attention) differs"):
        open_encoder(model)


@pytest.mark.parametrize("name", OF_A_FAMILY)
def test_what_the_heads_read_must_be_the_norm_of_what_enters(name):
    model = tiny(name)
    family = family_of(model.config.model_type)
    reader = family.reader(family.blocks(model)[1])
    reader.register_forward_pre_hook(lambda _, given: (1.1 * given[0], *given[1:]))
    with pytest.raises(BadInput, match=r"in layer 1 the norm before attention differs by 9\.1e-02"):
        open_encoder(model)


def test_a_block_that_does_not_call_its_attention_is_refused():
    model = tiny("deit")
    model.layers[0].forward = types.MethodType(lambda self, state, *_, **__: state, model.layers[0])
    with pytest.raises(BadInput, match=r"layer 0 .* does not call the module"):
        open_encoder(model)


def test_a_model_that_is_more_than_its_blocks_is_refused():
    model = tiny("modernbert")

    def forward(self, *arguments, **named):
        output = type(self).forward(self, *arguments, **named)
        output.last_hidden_state = output.last_hidden_state + 0.1
        return output

    model.forward = types.MethodType(forward, model)
    with pytest.raises(BadInput, match="composition of its blocks"):
        open_encoder(model)


WRONG = {
    "scale": lambda a: {"scale": 1.02 * a.scale},
    "the window one token short": lambda a: {"keys": Keys(a.keys.before and a.keys.before - 1, a.keys.after)},
    "the window one token long": lambda a: {"keys": Keys(a.keys.before, a.keys.after and a.keys.after + 1)},
    "no window": lambda a: {"keys": Keys()},
    "no turn": lambda a: {"rotary": None},
    "turned the other way": lambda a: {"rotary": 0.9 * a.rotary},
    "queries as keys": lambda a: {"query": a.key, "key": a.query},
    "transposed output": lambda a: {"output": np.ascontiguousarray(a.output[::-1])},
    "no query bias": lambda a: {"query_bias": 0 * a.query_bias},
    "no value bias": lambda a: {"value_bias": 0 * a.value_bias},
    "no output bias": lambda a: {"output_bias": 0 * a.output_bias},
    "one wrong head": lambda a: {"value": np.where(np.arange(3)[:, None, None] == 1, 1.001, 1.0) * a.value},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_proof_sees_every_part_of_the_arrays(wrong, monkeypatch):
    model = tiny("modernbert with biases")
    family = family_of("modernbert")
    own = type(family).attention

    def attention(self, model, block):
        found = own(self, model, block)
        return found if block is not model.layers[1] else dataclasses.replace(found, **WRONG[wrong](found))

    monkeypatch.setattr(type(family), "attention", attention)
    with pytest.raises(BadInput, match="in layer 1 the attention differs"):
        open_encoder(model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["bert", "modernbert with biases", "gpt2"])
def test_weights_of_16_bits_are_proved_and_noted(name, dtype, rng):
    encoder = open_encoder(tiny(name).to(dtype))
    assert str(dtype).removeprefix("torch.") in " ".join(encoder.notes)
    exact = open_encoder(tiny(name))
    tokens = rng.standard_normal((30, 24))
    ours, theirs = encoder.run_tokens(tokens), exact.run_tokens(tokens)
    assert ours.dtype == np.float32
    assert 0 < np.linalg.norm(ours - theirs) < 0.1 * np.linalg.norm(theirs)


def test_a_changed_attention_of_16_bits_is_refused():
    model = tiny("bert").to(torch.bfloat16)
    dense = model.encoder.layer[1].attention.output.dense
    dense.register_forward_hook(lambda _, __, output: 1.001 * output)  # less than the rounding of bfloat16
    with pytest.raises(BadInput, match=r"in layer 1 the attention differs by 1\.0e-03"):
        open_encoder(model)
    model = tiny("bert").to(torch.bfloat16)
    patch(model.encoder.layer[1].attention.output.dense, lambda output: 2 * output)
    with pytest.raises(BadInput, match=r"in layer 1 the block \(its copy in float64 does not run\) differs"):
        open_encoder(model)


def test_rounding_of_large_logits_is_noted_and_not_taken_for_a_fault():
    """A large key bias adds the same to all logits of a query: softmax does not change, float32 loses digits."""
    model = tiny("bert")
    with torch.no_grad():
        model.encoder.layer[1].attention.self.key.bias.mul_(1e4)
    notes = open_encoder(model).notes
    assert any("layer 1: logits so large that float32 is good to" in note for note in notes)


def test_quantised_linear_maps_are_refused_in_one_line():
    class Packed(torch.nn.Module):
        def weight(self):
            return None

    model = tiny("bert")
    model.encoder.layer[0].attention.self.key = Packed()
    with pytest.raises(BadInput, match="as floating-point numbers: Packed holds them otherwise"):
        open_encoder(model)
