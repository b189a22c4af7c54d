"""Bounds of the numbers that come from outside: of settings, in suites, `--set` and records, and of the command line.

A number outside is a slip, or meant to fill memory or disk; it is refused before anything is computed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from results.values.text import shown


@dataclass(frozen=True)
class Bounds:
    """The least and the largest number that is accepted."""

    low: float
    high: float

    def whole(self, text: str) -> int:
        """The whole number that `text` writes in digits. Raises `ValueError` in words."""
        if re.fullmatch(r"[+-]?[0-9]{1,20}", text.strip()) and self.low <= int(text) <= self.high:
            return int(text)
        raise ValueError(f"a whole number from {self.low} to {self.high}, not {shown(text)}")

    def number(self, text: str) -> float:
        """The number that `text` writes. Raises `ValueError` in words."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if self.low <= value <= self.high:  # not if it is NaN
            return value
        raise ValueError(f"a number from {self.low:g} to {self.high:g}, not {shown(text)}")

    @property
    def of_setting(self) -> Any:
        """What pydantic checks of a setting within these bounds."""
        low = {"gt": 0} if self.low == 1 else {"ge": self.low}  # so that messages say "greater than 0"
        return Field(**low, le=self.high, allow_inf_nan=False)


PIXELS = Bounds(8, 8192)
"""Side of an image: with three bytes per pixel, the largest takes 200 MB."""
BORDER = Bounds(0, 1024)
"""Pixels added at each side of an image."""
BATCH = Bounds(1, 2**20)
EPOCHS = Bounds(1, 10**6)
STEPS = Bounds(1, 10**9)
CLASSES = Bounds(1, 10**6)
SEED = Bounds(0, 2**63 - 1)
"""What NumPy, torch and Parquet can all hold."""
REVISION = Bounds(1, 10**6)
REPLICATES = Bounds(1, 1000)
"""Seeds of an experiment, or repeats of a measurement."""
BYTES = Bounds(1, 2**50)
GIB = Bounds(2**-20, 2**20)
HOURS = Bounds(0.001, 24 * 366)
SECONDS = Bounds(0, 86_400)
DAYS = Bounds(0, 36_600)
COUNT = Bounds(1, 10_000)
"""Of things that are shown, or asked of a cluster, at once."""
COUNT_OR_NONE = Bounds(0, 10_000)
MINUTES = Bounds(1, 60 * 24 * 366)


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):  # YAML's yes and no; pydantic would read them as 1 and 0
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


_NUMBER = BeforeValidator(_no_bool)

Pixels = Annotated[int, PIXELS.of_setting, _NUMBER]
Border = Annotated[int, BORDER.of_setting, _NUMBER]
Batch = Annotated[int, BATCH.of_setting, _NUMBER]
Epochs = Annotated[int, EPOCHS.of_setting, _NUMBER]
Steps = Annotated[int, STEPS.of_setting, _NUMBER]
Classes = Annotated[int, CLASSES.of_setting, _NUMBER]
Seed = Annotated[int, SEED.of_setting, _NUMBER]
Revision = Annotated[int, REVISION.of_setting, _NUMBER]
Replicates = Annotated[int, REPLICATES.of_setting, _NUMBER]
Count = Annotated[int, COUNT.of_setting, _NUMBER]
CountOrNone = Annotated[int, COUNT_OR_NONE.of_setting, _NUMBER]
Minutes = Annotated[int, MINUTES.of_setting, _NUMBER]
Bytes = Annotated[int, BYTES.of_setting, _NUMBER]
Finite = Annotated[float, Bounds(-1e9, 1e9).of_setting, _NUMBER]
Share = Annotated[float, Bounds(0, 1).of_setting, _NUMBER]
Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), _NUMBER]
"""Of a moving average, such as momentum."""
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False), _NUMBER]
NonNegative = Annotated[float, Bounds(0, 1e9).of_setting, _NUMBER]
