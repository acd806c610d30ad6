"""A progress bar on stderr for computations over two seconds, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..flow.leg import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

PATIENCE = 2.0


@contextlib.contextmanager
def progress_bar(total: float, own: Progress | None = None, *, words: str = "flow") -> Iterator[Progress]:
    """A function to call with the amount done out of `total`: `own` if given, else one that may show a bar."""
    if own is not None or not sys.stderr.isatty():
        yield own if own is not None else lambda done: None
        return
    started, shown = time.monotonic(), list[tuple["Bar", int]]()

    def report(done: float) -> None:
        if not shown and time.monotonic() - started > PATIENCE and done < total:
            shown.append(_open(total, words))
        if shown:
            bar, task = shown[0]
            bar.update(task, completed=done)  # type: ignore[arg-type]

    try:
        yield report
    finally:
        if shown:
            shown[0][0].stop()


@contextlib.contextmanager
def waiting(words: str) -> Iterator[None]:
    """`words` with a spinner on stderr after two seconds, on a terminal only: for work whose length is not known."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    status = Console(stderr=True).status(words)
    timer = threading.Timer(PATIENCE, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()


def _open(total: float, words: str) -> tuple[Bar, int]:
    from rich.console import Console
    from rich.progress import Progress as RichBar

    bar = RichBar(console=Console(stderr=True), transient=True)
    bar.start()
    return bar, bar.add_task(words, total=total)
