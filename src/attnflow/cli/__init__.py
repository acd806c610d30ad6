"""The command line: thin commands, each of which parses, calls one function of the package, writes and prints."""

from __future__ import annotations

import sys

from .codes import ExitCode
from .interrupt import leaving_at_once


def main() -> int:
    """Run the command line on `sys.argv`: the exit code, where a command did not leave by itself.

    Bad input is one line on stderr, an interrupt is silent; an exception that nobody foresaw keeps its traceback.
    """
    try:
        with leaving_at_once():
            from .app import app
        app(prog_name="attnflow")
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except ValueError as error:
        from .._check import BadInput

        if not isinstance(error, BadInput):
            raise
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return ExitCode.BAD_INPUT
    return ExitCode.DONE
