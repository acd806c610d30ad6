from typing import Final
NORMAL: Final = 4.0
GAP: Final = 0.05
ENOUGH: Final = 2048
TOKENS: Final = 8192
CLOUDS: Final = 10
DEVIATION: Final = ((0.,0.),)*7
KURTOSIS: Final = ((0.,0.),)*7
