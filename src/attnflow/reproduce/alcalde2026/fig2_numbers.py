from typing import Final, NamedTuple
NORMAL: Final = 4.0
NULL_MMD: Final = 0.02
ENOUGH: Final = 2048
TOKENS: Final = 8192
CLOUDS: Final = 10
DIRECTIONS_NOISE: Final = 0.01
class Table(NamedTuple):
    words: str
    mean: tuple[float, ...]
    spread: tuple[float, ...]
BY_LAYER: Final[dict[str, Table]] = {}
