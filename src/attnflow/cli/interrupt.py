"""Ctrl-C while nothing is under way yet."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .codes import ExitCode


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Within this block, Ctrl-C ends the process at once and silently: for imports, where nothing can be lost.

    An interrupt inside the start of an extension module would otherwise surface as an ImportError.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield  # somebody else has decided what an interrupt means here
        return
    signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(ExitCode.INTERRUPTED)
