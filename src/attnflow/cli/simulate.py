"""`attnflow simulate`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .cache import enable_cache
from .codes import ExitCode
from .output import emit_json, emit_tables, say

enable_cache()  # before the imports below: they load Equinox and JAX

from .._atomic import check_writable  # noqa: E402
from .._check import BadInput  # noqa: E402
from ..doors.run import Run  # noqa: E402
from ..doors.simulate import simulate as flow  # noqa: E402
from ..doors.verify import Verification  # noqa: E402
from ..files.problem import Problem, read_problem  # noqa: E402
from ..flow.outcome import Basis, Status  # noqa: E402
from .clock import parse_times, picture_times  # noqa: E402
from .summary import moments, summary  # noqa: E402
