"""Folders, ids and configurations: what opens, what does not, and in which words."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.networks.encoder import open_encoder
from networks.tiny import OF_A_FAMILY, VOCABULARY, config, item, save, tiny, tokenizer, torch, transformers


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith("`source` must") or "needs" in text
    return text


@pytest.fixture
def folder(tmp_path) -> Path:
    return save(tiny("bert"), tmp_path / "mine")


def edit(folder: Path, **changed) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in (json.loads(path.read_text()) | changed).items() if v is not None}))


@pytest.mark.parametrize("name", OF_A_FAMILY)
def test_a_folder_gives_the_network_that_was_saved_in_it(name, tmp_path):
    model = tiny(name)
    encoder = open_encoder(save(model, tmp_path / "mine"))
    live = open_encoder(model)
    np.testing.assert_array_equal(encoder.run(item(name)), live.run(item(name)))
    assert encoder.name == "mine"
    assert encoder.fingerprint == live.fingerprint
    assert encoder.parameters == live.parameters > 0
    assert (encoder.layers, encoder.dim) == (3, 24)
    assert encoder.licence is None


@pytest.mark.parametrize(
    ("name", "head"), [("bert", "BertForMaskedLM"), ("vit", "ViTForImageClassification"), ("gpt2", "GPT2LMHeadModel")]
)
def test_weights_saved_with_a_head_open_without_it(name, head, tmp_path):
    whole = tiny(name, head=head)
    encoder = open_encoder(save(whole, tmp_path))
    np.testing.assert_array_equal(encoder.run(item(name)), open_encoder(whole).run(item(name)))


def test_the_licence_and_a_better_name_come_from_the_card(tmp_path):
    folder = save(tiny("bert"), tmp_path / "model")
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\ntags:\n- license: no\n---\n\n# My-Network\n")
    encoder = open_encoder(folder)
    assert (encoder.licence, encoder.name, encoder.source) == ("mit", "My-Network", str(folder))


def test_pooling_that_is_not_stated_is_the_usual_one_and_noted(folder):
    encoder = open_encoder(folder)
    assert (encoder.pooling, encoder.normalised) == ("mean", False)
    assert "pooling is not stated: mean" in encoder.notes[0]


def test_a_folder_without_a_network_is_refused(tmp_path):
    with pytest.raises(BadInput) as error:
        open_encoder(tmp_path)
    assert "there is no config.json" in one_line(error)
    (tmp_path / "config.json").write_text("{broken")
    with pytest.raises(BadInput, match="is not JSON"):
        open_encoder(tmp_path)


@pytest.mark.parametrize(("model_type", "said"), [("roberta", "the family 'roberta'"), (None, "no family")])
def test_another_family_is_refused_and_the_supported_ones_are_named(folder, model_type, said):
    edit(folder, model_type=model_type)
    with pytest.raises(BadInput) as error:
        open_encoder(folder)
    text = one_line(error)
    assert "BERT, ViT, DeiT, ModernBERT, GPT-2" in text
    assert said in text


def test_a_folder_without_weights_is_refused_and_told_of_random_ones(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput) as error:
        open_encoder(folder)
    assert "`random_init`" in one_line(error)


def test_weights_of_a_wrong_shape_are_refused_in_one_line(folder):
    edit(folder, intermediate_size=40)
    with pytest.raises(BadInput) as error:
        open_encoder(folder)
    assert "encoder.layer.0.intermediate.dense.bias has shape (44,), not (40,) (and 8 more)" in one_line(error)


def test_missing_weights_are_refused_and_named(folder):
    edit(folder, num_hidden_layers=4)
    with pytest.raises(BadInput) as error:
        open_encoder(folder)
    text = one_line(error)
    assert "lacks encoder.layer.3.attention.output.LayerNorm.bias" in text
    assert "and 13 more; they would be random" in text


def test_weights_beside_those_of_the_configuration_are_refused_and_named(folder):
    edit(folder, num_hidden_layers=2)
    with pytest.raises(BadInput) as error:
        open_encoder(folder)
    assert "has encoder.layer.2.attention.output.LayerNorm.bias" in one_line(error)


def test_weights_that_cannot_be_read_are_refused_in_one_line(folder):
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInput) as error:
        open_encoder(folder)
    assert "is not (" in one_line(error)


@pytest.mark.parametrize("source", ["owner/no-such-network-of-ours", "no-such-network-of-ours"])
def test_an_id_without_a_network_is_refused_at_once(source, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    start = time.perf_counter()
    with pytest.raises(BadInput) as error:
        open_encoder(source)
    assert time.perf_counter() - start < 2
    assert "HF_HUB_OFFLINE is set; download it where there is a network" in one_line(error)


def test_an_id_is_refused_at_once_when_the_hub_cannot_be_reached(monkeypatch):
    from huggingface_hub import constants

    for name in ("https_proxy", "HTTPS_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the port of `discard`: nobody listens
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    start = time.perf_counter()
    with pytest.raises(BadInput, match="cannot be reached"):
        open_encoder("owner/no-such-network-of-ours")
    assert time.perf_counter() - start < 4


def test_an_id_in_the_cache_opens_without_a_network(folder, tmp_path, monkeypatch):
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "cache" / "models--owner--cached-one"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    (place / "snapshots").mkdir()
    folder.rename(place / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoder = open_encoder("owner/cached-one")
    assert (encoder.name, encoder.source) == ("cached-one", "owner/cached-one")


@pytest.mark.parametrize("source", ["/no/such/folder", "", 3, "a b"])
def test_what_is_no_source_at_all_is_refused(source):
    with pytest.raises(BadInput) as error:
        open_encoder(source)
    one_line(error)


def test_a_file_is_no_folder_and_a_configuration_has_no_weights(folder):
    with pytest.raises(BadInput, match="not a file"):
        open_encoder(folder / "model.safetensors")
    with pytest.raises(BadInput, match="is a configuration; give `random_init`"):
        open_encoder(folder / "config.json")


def test_a_missing_extra_is_named_with_its_command(monkeypatch):
    own = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "transformers" else own(name))
    with pytest.raises(BadInput, match=r"needs transformers, .* pip install 'attnflow\[networks\]'"):
        open_encoder("anything")


@pytest.mark.parametrize("of", ["folder", "file"])
def test_random_weights_depend_on_the_seed_alone(folder, of):
    (folder / "model.safetensors").unlink()
    tokenizer().save_pretrained(folder)
    source = folder if of == "folder" else folder / "config.json"
    before = torch.get_rng_state()
    one, two, other = (open_encoder(source, random_init=True, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert "random (seed 5)" in " ".join(one.notes)
    (read,) = one.read_text(["a1"])
    assert one.run(read).shape == (24,)


def test_the_name_of_a_family_stands_for_its_default_size(monkeypatch):
    asked = []
    small = config("deit")

    def for_model(name):
        asked.append(name)
        return small

    monkeypatch.setattr(transformers.AutoConfig, "for_model", for_model)
    encoder = open_encoder("DeiT", random_init=True)
    assert asked == ["deit"]
    assert encoder.name == "DeiT (random weights)"


def test_a_configuration_that_cannot_be_built_is_refused_in_one_line(folder):
    edit(folder, num_attention_heads=5)
    with pytest.raises(BadInput) as error:
        open_encoder(folder, random_init=True)
    assert "multiple of the number of attention" in one_line(error)


def test_another_tokenizer_must_be_one_and_must_belong_to_the_network(folder, tmp_path):
    with pytest.raises(BadInput, match="`tokenizer` must be a folder with a tokenizer"):
        open_encoder(folder, tokenizer=tmp_path)
    tokenizer().save_pretrained(tmp_path / "words")
    encoder = open_encoder(folder, tokenizer=tmp_path / "words")
    assert encoder.read_text(["a3 a4"])[0].tokens == 4
    small = open_encoder(tiny("bert", vocab_size=VOCABULARY - 20), tokenizer=tokenizer())
    with pytest.raises(BadInput, match="`tokenizer` must belong to the network: it gives token 53"):
        small.read_text(["a50"])


def test_importing_the_room_loads_neither_torch_nor_transformers():
    code = "import sys, attnflow.networks.encoder; assert not {'torch', 'transformers', 'PIL'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_opening_prints_nothing(folder, capfd):
    bars, level = transformers.utils.logging.is_progress_bar_enabled(), transformers.utils.logging.get_verbosity()
    edit(folder, num_hidden_layers=4)
    with pytest.raises(BadInput):
        open_encoder(folder)
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.is_progress_bar_enabled() == bars
    assert transformers.utils.logging.get_verbosity() == level


def test_a_model_type_of_another_family_is_refused_with_the_supported_ones():
    with pytest.raises(BadInput, match=r"supported family \(bert, vit, deit, modernbert, gpt2\)"):
        open_encoder("roberta", random_init=True)


def test_weights_that_are_not_finite_are_named():
    model = tiny("bert")
    with torch.no_grad():
        model.encoder.layer[1].output.dense.weight[3, 2] = float("nan")
    with pytest.raises(BadInput, match=r"`encoder\.layer\.1\.output\.dense\.weight` holds NaN"):
        open_encoder(model)
