"""Ctrl-C while code runs that would lose the exception: it is remembered, and raised where the work can stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def remembered_interrupts() -> Iterator[Callable[[], None]]:
    """Within this block Ctrl-C is remembered; the function that it gives raises KeyboardInterrupt if there was one.

    An exception inside a callback of an extension module (a garbage collection hook of JAX, for example) would be
    printed and lost. A second Ctrl-C is raised at once. Where somebody else handles interrupts, or outside of the
    main thread, nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    seen = list[int]()

    def remember(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.signal(signal.SIGINT, before)

    def stop_if_asked() -> None:
        if seen:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, remember)
    try:
        yield stop_if_asked
    finally:
        signal.signal(signal.SIGINT, before)
