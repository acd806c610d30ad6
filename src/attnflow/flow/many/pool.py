"""The host's side of the lanes: which system is on which lane, and what came out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..dop853 import Code
from .fields import Field, Shape
from .lanes import Hits, Lanes, Limits, advance, slopes

FLOOR_MEAN = 1e-3
# the Jacobians of all lanes together hold about so many numbers, which stay in a second-level cache
NUMBERS = 2**16
MOST_LANES, FEW_LANES, FEWEST_LANES = 512, 64, 8


class Pool:
    """N systems that wait for a lane, run, and leave what they reached in `out` (t, m, N).

    `states` (m, N) are the starts and `model` the parameters for `field`, systems last or shared. Afterwards `index`
    (N,) counts the times that were reached, `code` says how each ended (RUNNING: it did not), `blow_up` (N,) when.
    """

    def __init__(
        self, field: Field, shape: Shape, model: Any, states: np.ndarray, ts: np.ndarray, rtol: float, max_steps: int
    ) -> None:
        count = states.shape[1]
        self.field, self.shape, self.model, self.states, self.ts = field, shape, model, states, ts
        self.limits = Limits(np.asarray(rtol), *(np.asarray(x, dtype=np.int32) for x in (max_steps, ts.size)))
        self.out = np.zeros((ts.size, *states.shape))
        first = int(ts[0] == 0.0)
        self.out[:first] = states
        self.index = np.full(count, first)
        self.code = np.full(count, int(Code.END if first == ts.size else Code.RUNNING))
        self.steps = np.zeros(count, dtype=np.int64)
        self.blow_up = np.full(count, np.inf)
        # lanes and times are padded to a few sizes, so that few programs are compiled
        self.padded = np.concatenate([ts, np.full(2 ** int(np.ceil(np.log2(ts.size))) - ts.size, np.inf)])
        width = int(2 ** np.floor(np.log2(NUMBERS / max(shape.size, 1) ** 2 + 1)))
        fitting = FEWEST_LANES if count <= FEWEST_LANES else FEW_LANES if count <= FEW_LANES else MOST_LANES
        self.width = int(np.clip(width, FEWEST_LANES, fitting))

    def run(self, report: Callable[[float], None]) -> None:
        """Carry all systems to their ends; an interrupt leaves those under way with the code RUNNING."""
        waiting = np.flatnonzero(self.code == Code.RUNNING)
        place, done = 0, self.code.size - waiting.size
        owner = np.full(self.width, -1)
        lanes, model = self._empty()
        try:
            while True:
                free = np.flatnonzero(lanes.code != Code.RUNNING)
                fresh = waiting[place : place + free.size]
                place += fresh.size
                self._board(lanes, model, free[: fresh.size], fresh)
                owner[free] = -1
                owner[free[: fresh.size]] = fresh
                if np.all(owner < 0):
                    return
                before = lanes.goal
                after, hits = advance(self.field, self.shape, model, lanes, self.padded, self.limits)
                lanes = jax.tree.map(np.array, after)
                done += self._collect(owner, before, lanes, hits)
                report(float(done))
        except KeyboardInterrupt:
            return

    def slopes(self, states: np.ndarray) -> np.ndarray:
        """The rates of all systems at `states` (m, N), a few lanes at a time."""
        found = np.empty_like(states)
        _, model = self._empty()
        for begin in range(0, states.shape[1], self.width):
            ids = np.arange(begin, min(begin + self.width, states.shape[1]))
            group = np.zeros((states.shape[0], self.width))
            group[:, : ids.size] = states[:, ids]
            self._load(model, np.arange(ids.size), ids)
            found[:, ids] = np.asarray(slopes(self.field, self.shape, model, group))[:, : ids.size]
        return found

    def _empty(self) -> tuple[Lanes, Any]:
        """Idle lanes, and their parameters."""
        first = np.zeros(self.width, dtype=np.int64)
        zero, whole = np.zeros(self.width), np.zeros(self.width, dtype=np.int32)
        lanes = Lanes(
            t=zero.copy(),
            h=zero.copy(),
            state=np.zeros((self.states.shape[0], self.width)),
            goal=whole.copy(),
            code=np.full(self.width, int(Code.END), dtype=np.int32),
            steps=whole.copy(),
            floor=zero.copy(),
            start_trace=zero.copy(),
            left=zero.copy(),
        )
        if self.shape.shared:
            return lanes, self.model
        return lanes, jax.tree.map(lambda leaf: np.ascontiguousarray(leaf[..., first]), self.model)

    def _load(self, model: Any, lanes: np.ndarray, ids: np.ndarray) -> None:
        if self.shape.shared:
            return
        for mine, theirs in zip(jax.tree.leaves(model), jax.tree.leaves(self.model), strict=True):
            mine[..., lanes] = theirs[..., ids]

    def _board(self, lanes: Lanes, model: Any, free: np.ndarray, ids: np.ndarray) -> None:
        """Put the systems `ids` on the lanes `free`."""
        if ids.size == 0:
            return
        self._load(model, free, ids)
        states, factors = self.states[:, ids], self.shape.dim * self.shape.rank
        trace = np.sum(np.square(states[:factors]), axis=0)
        spread = np.maximum(np.abs(states[factors:]).max(axis=0, initial=0.0), np.sqrt(trace))
        values = {"t": 0.0, "h": 0.0, "goal": self.index[ids], "code": int(Code.RUNNING), "steps": 0, "left": 0.0}
        values |= {"floor": FLOOR_MEAN * np.where(spread > 0, spread, 1.0), "start_trace": trace}
        for name, value in values.items():
            getattr(lanes, name)[free] = value
        lanes.state[:, free] = states

    def _collect(self, owner: np.ndarray, before: np.ndarray, lanes: Lanes, hits: Hits) -> int:
        """Store the states that hit a requested time, and the ends; returns how many systems ended."""
        hit, states = np.asarray(hits.hit), np.asarray(hits.state)
        attempt, lane = np.nonzero(hit)
        earlier = np.cumsum(hit, axis=0)[attempt, lane] - 1
        self.out[before[lane] + earlier, :, owner[lane]] = states[attempt, :, lane]
        on = np.flatnonzero(owner >= 0)
        self.index[owner[on]], self.steps[owner[on]] = lanes.goal[on], lanes.steps[on]
        ended = on[lanes.code[on] != Code.RUNNING]
        self.code[owner[ended]] = lanes.code[ended]
        blown = ended[lanes.code[ended] == Code.BLOW_UP]
        self.blow_up[owner[blown]] = lanes.t[blown] + lanes.left[blown]
        return int(ended.size)
