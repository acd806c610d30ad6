"""`attnflow init`."""

from __future__ import annotations

from pathlib import Path

from ..files.template import write_template
from .codes import ExitCode
from .output import say


def init(path: Path, *, force: bool) -> ExitCode:
    """Write the commented problem file to `path`.

    Raises BadInput when it exists and `force` is false, or cannot be written.
    """
    from .._check import BadInput

    if path.exists() and not path.is_dir() and not force:
        raise BadInput(f"`{path}` exists already: it is left as it is; choose another name or add --force.")
    write_template(path, overwrite=force)
    say(f"wrote {path}; run it with: attnflow simulate {path}")
    return ExitCode.DONE
