"""Writing a file so that it is whole or absent, whatever interrupts the writing."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ._check import BadInput


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise BadInput unless a file can be written at `path`; call it before a long computation.

    A nameless file is created in the folder and removed again, because permission bits alone do not tell
    (read-only file systems, quotas, the administrator).
    """
    target = Path(path)
    folder = target.parent
    if not folder.is_dir():
        raise BadInput(f"`{target}` cannot be written: the folder `{folder}` does not exist; create it first.")
    if target.is_dir():
        raise BadInput(f"`{target}` cannot be written: it is a folder; add a file name.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadInput(f"`{target}` cannot be written: {reason} in `{folder}`; choose another folder.") from error


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the folder of `path`, which takes its place when the block ends well.

    On any exception, KeyboardInterrupt included, the temporary file is removed and what was at `path` before
    is untouched. The temporary name keeps the suffix of `path`, so writers that choose a format by it work.

    Raises BadInput when `path` cannot be written.
    """
    target = Path(path)
    check_writable(target)
    partial = target.with_name(f".{target.stem}.{os.getpid()}-{os.urandom(4).hex()}{target.suffix}")
    try:
        yield partial
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
