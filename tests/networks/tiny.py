"""Small networks of every family with weights that show a transpose, a lost bias or a wrong norm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test waits for a network

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

torch.set_num_threads(1)  # for arrays this small, threads only wait for each other

VOCABULARY = 60
TEXT = {"vocab_size": VOCABULARY, "max_position_embeddings": 40}
IMAGE = {"image_size": [16, 24], "patch_size": 8}
BLOCKS = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 44}
GPT2 = {"n_embd": 24, "n_layer": 3, "n_head": 3, "n_inner": 44, "n_positions": 40, "vocab_size": VOCABULARY}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", BLOCKS | TEXT),
    "causal bert": ("bert", BLOCKS | TEXT | {"is_decoder": True}),
    "vit": ("vit", BLOCKS | IMAGE),
    "vit without biases": ("vit", BLOCKS | IMAGE | {"qkv_bias": False}),
    "deit": ("deit", BLOCKS | IMAGE),
    "modernbert": (
        "modernbert",
        BLOCKS | TEXT | {"local_attention": 8, "global_attn_every_n_layers": 2, "pad_token_id": 0},
    ),
    "modernbert with biases": (
        "modernbert",
        BLOCKS | TEXT | {"local_attention": 8, "attention_bias": True, "mlp_bias": True, "norm_bias": True}
        | {"pad_token_id": 0, "rope_parameters": {
            "full_attention": {"rope_type": "yarn", "rope_theta": 900.0, "factor": 4.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 40.0}}},
    ),
    "gpt2": ("gpt2", GPT2),
    "gpt2 scaled by layer": ("gpt2", GPT2 | {"scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False}),
}  # fmt: skip
OF_A_FAMILY = ("bert", "vit", "deit", "modernbert", "gpt2")


def config(name: str, **changed: Any) -> Any:
    model_type, said = CONFIGS[name]
    special = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    text = special if model_type in {"modernbert", "gpt2"} else {}
    return transformers.AutoConfig.for_model(model_type, **(said | text | changed))


def tiny(name: str, *, head: str | None = None, seed: int = 0, **changed: Any) -> Any:
    """A network of `CONFIGS`, or the class `head` around it; no weight is symmetric, zero or one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = config(name, **changed)
        model = transformers.AutoModel.from_config(made) if head is None else getattr(transformers, head)(made)
        with torch.no_grad():
            for part, weight in model.named_parameters():
                norm = weight.ndim == 1 and part.endswith("weight")
                weight.normal_(1.0 if norm else 0.0, 0.4 if weight.ndim == 1 else 0.25)
    return model.eval()


def save(model: Any, folder: Path) -> Path:
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


def inputs(name: str, *, n: int = 13, seed: int = 3) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    if CONFIGS[name][0] in {"vit", "deit"}:
        return {"pixel_values": torch.randn((1, 3, 16, 24), generator=generator)}
    return {"input_ids": torch.randint(3, VOCABULARY, (1, n), generator=generator)}


def item(name: str, **changed: Any) -> Any:
    """What `inputs` gives, as an item of an encoder."""
    from attnflow.networks.item import Item

    arrays = {key: tensor.numpy() for key, tensor in inputs(name, **changed).items()}
    return Item(0, False, lambda: arrays)


def tokenizer() -> Any:
    """Words a0 to a56 between a first and a last special token; all else is unknown."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {"[CLS]": 0, "[SEP]": 1, "[UNK]": 2} | {f"a{i}": i + 3 for i in range(VOCABULARY - 3)}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]")
