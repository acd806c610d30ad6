"""`attnflow init`."""

from __future__ import annotations

from pathlib import Path

from ..files.steering_examples import write_steering_examples
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


def init_steering(folder: Path, *, force: bool) -> ExitCode:
    """Write the example files for `attnflow steer` into `folder`.

    Raises BadInput when one exists and `force` is false, or cannot be written.
    """
    for path in write_steering_examples(folder, overwrite=force):
        say(f"wrote {path}")
    say(f"the first lines of each say what to run in {folder}; to begin with:")
    say(f"attnflow steer --from {folder}/full-from.toml --to {folder}/full-to.toml")
    return ExitCode.DONE
