"""Reading a TOML file, with one line for what is wrong with it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from .._check import BadInput


def read_toml(path: str | os.PathLike[str], *, what: str, remedy: str) -> dict[str, Any]:
    """The tables of the TOML file `path`, which is to be `what`; a file that is not there is answered by `remedy`.

    Raises BadInput for a missing or unreadable file and for text that is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise BadInput(f"`{path}` must be {what}: there is no such file; {remedy}.") from None
    except UnicodeDecodeError as error:
        raise BadInput(
            f"`{path}` must be a TOML file in UTF-8: byte {error.start} is not; save it as UTF-8 text."
        ) from error
    except OSError as error:
        raise BadInput(f"`{path}` must be a readable file: {error.strerror}.") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"`{path}` must be a TOML file: {error}; correct that line.") from error
