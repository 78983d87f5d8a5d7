"""The spending processes of the money harness: started, killed, replaced, and waited for."""

from __future__ import annotations

import math
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.kill_points import POINTS, SELDOM
from benchmarks.money_worker import Plan
from benchmarks.nursery import Nurseries

AT_RANDOM = "at random"
# So long a process that is to kill itself is not killed by others.
SPARED_S = 10.0
# Calls of each task in a process that is to die while it leaves, so that it comes to leave.
CALLS_BEFORE_LEAVING = 5


@dataclass
class Member:
    """A process, and what is to become of it."""

    plan: Plan
    spared_until: float = 0.0
    being_killed: bool = False

    def killed_itself(self) -> bool:
        return bool(self.plan.kill_point) and self.plan.mark.exists()


class Fleet:
    """`plan` in several processes at once.

    Each of `points` is due once; whoever dies is replaced.

    Args:
        plan: what each process does, but for its name and death.
        kills: how many are killed from outside, with pauses of `pause_s` seconds between.
        points: where processes kill themselves.
    """

    def __init__(
        self,
        nurseries: Nurseries,
        plan: Plan,
        processes: int,
        kills: int,
        points: list[str],
        *,
        pause_s: tuple[float, float],
        seed: int,
        report: Callable[[str], None],
    ) -> None:
        self.killed: Counter[str] = Counter()
        self._nurseries = nurseries
        self._plan = plan
        self._random = random.Random(seed)
        self._kills_left = kills
        self._points = self._random.sample(points, len(points))
        self._pause_s = pause_s
        self._report = report
        self._started = 0
        self._size = processes
        self._members: dict[str, Member] = {}
        self._next_kill = math.inf

    def start(self) -> None:
        """Start all of them."""
        for _ in range(self._size):
            self._begin()

    def expose(self) -> None:
        """From now on, kill at random times."""
        self._next_kill = time.monotonic() + self._random.uniform(*self._pause_s)

    @property
    def kills_left(self) -> int:
        """Kills from outside that are still to come."""
        return self._kills_left

    def points_left(self) -> list[str]:
        """Points at which nobody has died yet."""
        return self._points + [member.plan.kill_point for member in self._members.values() if member.plan.kill_point]

    def harass(self) -> None:
        """Replace the dead, and kill somebody if it is time to."""
        for _ in self._buried():
            self._begin()
        now = time.monotonic()
        if self._kills_left == 0 or now < self._next_kill:
            return
        exposed = [each for each in self._members.values() if not each.being_killed and each.spared_until < now]
        if exposed:
            member = self._random.choice(exposed)
            member.being_killed = True
            self._nurseries.kill(member.plan.name)
            self._kills_left -= 1
            self._next_kill = now + self._random.uniform(*self._pause_s)

    def has_ended(self) -> bool:
        """Whether all are gone; nobody is replaced any more."""
        self._buried()
        return not self._members

    def _buried(self) -> list[Member]:
        """Those who ended since the last look, counted."""
        ended = [(self._members.pop(name), status) for name, status in self._nurseries.ended().items()]
        for member, status in ended:
            self._bury(member, status)
        return [member for member, _ in ended]

    def _begin(self) -> None:
        """One more process. All but one of those at work are to kill themselves, as long as points are left."""
        self._started += 1
        plan = replace(self._plan, name=f"p{self._started}")
        doomed = sum(bool(member.plan.kill_point) for member in self._members.values())
        if self._points and doomed < max(1, self._size - 1):
            point = self._points.pop(0)
            step = point.partition(":")[0]
            most = SELDOM.get(step, 2 * plan.tasks)
            calls = CALLS_BEFORE_LEAVING if step == "close" else plan.calls
            plan = replace(plan, kill_point=point, kill_count=self._random.randint(1, most), calls=calls)
        self._nurseries.start(plan)
        spared_until = time.monotonic() + SPARED_S if plan.kill_point else 0.0
        self._members[plan.name] = Member(plan, spared_until)

    def _bury(self, member: Member, status: int) -> None:
        """Count how it died. One that was to kill itself and was killed by another leaves its point to the next."""
        if member.killed_itself():
            self.killed[member.plan.kill_point] += 1
        elif member.being_killed and status == -signal.SIGKILL:
            self.killed[AT_RANDOM] += 1
        elif status != 0:
            self._report(f"{member.plan.name} ended with exit status {status}: {_last_line(member.plan.log)}")
        if member.plan.kill_point and not member.killed_itself():
            self._points.append(member.plan.kill_point)
        if member.being_killed and (status != -signal.SIGKILL or member.killed_itself()):
            self._kills_left += 1  # it was gone before the kill reached it
        for left in (member.plan.log, member.plan.mark):
            left.unlink(missing_ok=True)


def all_points(times: int) -> list[str]:
    """Every point, `times` times."""
    return list(POINTS) * times


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
