"""What the exit codes mean."""

import enum


class ExitCode(enum.IntEnum):
    """How a command ended.

    DONE: with a result, a blow-up or an overflow included. USAGE: unknown options (from Typer). BAD_INPUT: a file, a
    number or an output path breaks a rule. NOT_FINISHED: the budget of steps or seconds was used up, or an iteration
    did not converge. UNDETERMINED: under --strict, what was asked could not be decided, or a target was missed.
    DIFFERS: a reproduction or a self-check gave other numbers. INTERRUPTED: by Ctrl-C.
    """

    DONE = 0
    USAGE = 2
    BAD_INPUT = 3
    NOT_FINISHED = 4
    UNDETERMINED = 5
    DIFFERS = 10
    INTERRUPTED = 130
