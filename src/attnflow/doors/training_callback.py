"""A few numbers of a network while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._check import BadInput
from .training_batch import batch_of
from .training_numbers import Numbers, Watching, middle

Log = Callable[[Numbers, int], object]


class TrainingCallback:
    """Measures a network every few steps of its training, on a batch that stays the same, and leaves it as it was.

    In a loop of your own, `callback(model, step)` after each step; with the Trainer of transformers, give it in
    `callbacks`. Every `every` steps it sends the `batch` through the model: texts, the named tensors of a batch
    (`input_ids`, `attention_mask`, or `pixel_values`), or a number of Gaussian tokens for the first block. It measures
    in evaluation mode, without gradients, one sequence at a time without padding, on the device of the model and in
    its precision; it draws no random number of PyTorch, so that training is the same with it as without.

    `log` is called with the numbers and the step, as `wandb.log` is; `history` keeps them in any case. `seed` draws the
    Gaussian tokens and the queries; `tokenizer`, an object or its folder, reads texts where the model or the Trainer
    does not bring one. `docs/training.md` says what the numbers are.

    Raises BadInput when the batch is none of these, and at the first measurement when the model is of no supported
    family or the batch does not fit it.
    """

    def __init__(
        self,
        *,
        every: int,
        batch: str | Sequence[str] | Mapping[str, Any] | int,
        log: Log | None = None,
        seed: int = 0,
        tokenizer: Any = None,
    ) -> None:
        self.every, self.seed, self.log = _steps(every), seed, _logger(log)
        self.history: list[Numbers] = []
        self._batch = batch_of(batch, seed=seed)
        self._tokenizer = tokenizer
        self._of: Any = None
        self._encoder: Any = None
        self._passes: Any = None

    def __call__(self, model: Any, step: int) -> Numbers | None:
        """The numbers of `model` at `step`, which are logged too; None between the steps that are measured.

        Raises BadInput at the first measurement when the model is of no supported family or the batch does not fit it.
        """
        if step % self.every:
            return None
        self._open(model)
        attentions = self._encoder.attentions
        rows = []
        for send in self._passes:
            watching = Watching(attentions, seed=self.seed)
            send(watching)
            rows.append(watching.numbers())
        numbers = middle(rows)
        self.history.append({"step": step, **numbers})
        if self.log is not None:
            self.log(numbers, step)
        return numbers

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Called by the Trainer of transformers after each step, with its `args`, `state`, `control` and `others`."""
        if not state.is_world_process_zero or state.global_step % self.every:
            return
        if self._tokenizer is None:
            self._tokenizer = others.get("processing_class")
        self(others["model"], state.global_step)

    def __getattr__(self, name: str) -> Any:
        # The Trainer calls every event by name, and later versions have more of them; all but one are nothing to us.
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _open(self, model: Any) -> None:
        """Prove `model` and read the batch with it, once."""
        if self._of is model:
            return
        from ..networks.encoder import open_encoder

        if not hasattr(model, "named_parameters"):
            raise BadInput(f"`model` must be a torch.nn.Module: {type(model).__name__} was found.")
        self._encoder = open_encoder(model, tokenizer=self._tokenizer)
        self._passes = self._batch.through(self._encoder)
        self._of = model


def _steps(every: Any) -> int:
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise BadInput(f"`every` must be a number of steps, at least 1: {every!r} was found.")
    return every


def _logger(log: Any) -> Log | None:
    if log is not None and not callable(log):
        raise BadInput(f"`log` must be callable with (numbers, step): {type(log).__name__} was found.")
    given: Log | None = log
    return given


def _nothing(*_: Any, **__: Any) -> None:
    """An event in which nothing is measured."""
