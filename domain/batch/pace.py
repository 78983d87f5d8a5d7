"""How fast a batch goes and when it will be done, from what was counted lately."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 60.0


@dataclass(slots=True)
class Pace:
    """Rows per second over the last minute: an outage or a slow start is forgotten soon.

    Attributes:
        counted: (monotonic seconds, rows finished by then), oldest first.
    """

    counted: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def count(self, now: float, rows: int) -> None:
        """So many rows are finished at `now`."""
        self.counted.append((now, rows))
        while len(self.counted) > 2 and self.counted[1][0] <= now - WINDOW_S:
            self.counted.popleft()

    @property
    def rows_per_s(self) -> float:
        """0 while nothing can be said."""
        if len(self.counted) < 2:
            return 0.0
        (start, before), (end, now) = self.counted[0], self.counted[-1]
        return (now - before) / (end - start) if end > start else 0.0

    def seconds_left(self, rows_left: int) -> float | None:
        """Until `rows_left` more are finished at this pace; None while nothing can be said."""
        rate = self.rows_per_s
        return rows_left / rate if rate > 0 else None
