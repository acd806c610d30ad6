"""What Figures 2 to 4 write: picture, data and checks, with what is known of the network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from ..._atomic import replacing
from ...files.provenance import provenance
from ...files.results import write_dataset
from ..check import Check, Reproduction
from ..probe import Size

if TYPE_CHECKING:
    from ...networks.encoder import Encoder


def clouds(dim: int, size: Size) -> Iterator[Float[np.ndarray, "n d"]]:
    """The clouds of `size` in dimension `dim`: standard normal tokens in float32."""
    for batch in range(size.batches):
        rng = np.random.default_rng([size.seed, batch])
        yield rng.standard_normal((size.tokens, dim), dtype=np.float32)


def facts(network: Encoder, size: Size) -> dict[str, Any]:
    """The `network` and the `size` of what went through it, as attributes of a dataset."""
    model = {name: getattr(network, name) for name in ("name", "family", "dim", "layers", "licence", "fingerprint")}
    return {
        "kind": "reproduction", "model": model, "batches": size.batches, "tokens_in_a_batch": size.tokens,
        "seed": size.seed,
    }  # fmt: skip


def write_all(
    folder: Path, names: Sequence[str], data: xr.Dataset, checks: Sequence[Check], draw: Callable[[Path], None]
) -> Reproduction:
    """Write the picture by `draw`, the `data` and the `checks` into `folder`, under the three `names`."""
    picture, dataset, table = (folder / name for name in names)
    data.attrs |= {"checks": [check.to_dict() for check in checks], "provenance": provenance()}
    write_dataset(data, dataset)
    draw(picture)
    report = {
        key: data.attrs[key]
        for key in ("target", "model", "batches", "tokens_in_a_batch", "seed", "checks", "provenance")
    }
    with replacing(table) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return Reproduction(tuple(checks), {str(data.attrs["target"]): data}, (picture, dataset, table))
