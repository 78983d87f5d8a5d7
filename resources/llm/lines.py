"""Who is served next among the calls that wait for the same thing: urgent ones first, then task by task."""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Place:
    """One call's place in a line; `turn` is set when it is worth asking again."""

    arrival: int
    task: str | None
    urgent: bool
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    left: bool = False

    def __lt__(self, other: Place) -> bool:
        return self.arrival < other.arrival


class Line:
    """Calls in the order they are served: urgent ones by arrival, then one of each task in turn."""

    def __init__(self) -> None:
        self._urgent: list[Place] = []
        self._tasks: OrderedDict[str | None, list[Place]] = OrderedDict()

    def join(self, place: Place) -> None:
        """Take the place `place.arrival` deserves."""
        if place.urgent:
            heapq.heappush(self._urgent, place)
        else:
            heapq.heappush(self._tasks.setdefault(place.task, []), place)

    def leave(self, place: Place, *, served: bool) -> None:
        """Go; when `served`, the task's next call waits until the other tasks had theirs. Wakes the next head."""
        place.left = True
        if served and not place.urgent and place.task in self._tasks:
            self._tasks.move_to_end(place.task)
        self.nudge()

    def head(self) -> Place | None:
        """Whose turn it is."""
        if (urgent := _first(self._urgent)) is not None:
            return urgent
        while self._tasks:
            task = next(iter(self._tasks))
            if (place := _first(self._tasks[task])) is not None:
                return place
            del self._tasks[task]
        return None

    def nudge(self) -> None:
        """Let the head ask again: something changed."""
        if (head := self.head()) is not None:
            head.turn.set()


def _first(heap: list[Place]) -> Place | None:
    while heap and heap[0].left:
        heapq.heappop(heap)
    return heap[0] if heap else None
