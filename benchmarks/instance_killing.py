"""Whom to kill when, and whether it counts."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.instance_place import JOBS, WORKS, Place, Round
from benchmarks.instance_processes import Daemon, WebServer
from benchmarks.instance_watch import Sight, Watch

WEB_SERVER, DAEMON, WORKER = "web server", "daemon", "run worker"
VICTIMS = (WEB_SERVER, DAEMON, WORKER)
LONGEST_DELAY_S = 3.0
LOOK_S = 0.2
# So long all works of a round are waited for before a server is killed with fewer of them under way.
ALL_S = 60.0
KILLING_S = 150.0


@dataclass(frozen=True)
class Kill:
    """One SIGKILL, or several at once.

    Attributes:
        works: those that were under way before and after it.
        lost: those whose run's process died of it.
    """

    round: int
    victim: str
    works: tuple[str, ...]
    lost: tuple[str, ...]
    restart_s: float


@dataclass
class Tally:
    """All kills, and what went wrong."""

    wanted: int
    kills: list[Kill] = field(default_factory=list)
    too_late: int = 0
    rounds: list[Round] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def counted(self, victim: str, work: str) -> int:
        """Kills of this victim in the middle of this work."""
        return sum(kill.victim == victim and work in kill.works for kill in self.kills)

    def open(self, victim: str) -> set[str]:
        """Works in the middle of which the victim is to be killed yet."""
        return {work for work in WORKS if self.counted(victim, work) < self.wanted}

    @property
    def enough(self) -> bool:
        """Whether all kills were done."""
        return not any(self.open(victim) for victim in VICTIMS)

    def lost(self) -> Counter[str]:
        """How often a run's process died, by work."""
        return Counter(work for kill in self.kills for work in kill.lost)


class Killing:
    """The kills of one round: each victim once, a run's process once for each work.

    In every second round the backfill's process is killed while rows are being paid for, and the provider batch's while
    jobs that have ended are settled; in the others as soon as they work.
    """

    def __init__(
        self,
        tally: Tally,
        place: Place,
        watch: Watch,
        begun: Round,
        servers: tuple[WebServer, Daemon],
        chance: random.Random,
    ) -> None:
        self._tally = tally
        self._provider = place.provider
        self._late = begun.number % 2 == 1
        self._watch = watch
        self._round = begun
        self._web, self._daemon = servers
        self._chance = chance
        self._left: set[tuple[str, str | None]] = {(name, None) for name in (WEB_SERVER, DAEMON) if tally.open(name)}
        self._left |= {(WORKER, work) for work in tally.open(WORKER)}

    def run(self) -> None:
        """Kill whatever is to be killed, each at a moment of chance."""
        began = time.monotonic()
        while self._left and time.monotonic() - began < KILLING_S:
            patient = time.monotonic() - began < ALL_S
            if self._left == {(WORKER, JOBS)}:
                self._provider.jobs_held = False
            sights = self._watch.see_all()
            if all(sight.over for sight in sights.values()):
                return
            possible = sorted(one for one in self._left if self._is_possible(*one, sights, patient=patient))
            if not possible:
                time.sleep(LOOK_S)
                continue
            victim, work = self._chance.choice(possible)
            time.sleep(self._chance.uniform(0.0, LONGEST_DELAY_S))
            sights = self._watch.see_all()
            if self._is_possible(victim, work, sights, patient=patient):
                self._left.discard((victim, work))
                self._note(victim, work, sights, *self._kill(victim, work, sights))

    def _is_possible(self, victim: str, work: str | None, sights: dict[str, Sight], *, patient: bool) -> bool:
        if work is not None:
            ripe = sights[work].late or not self._late
            return ripe and sights[work].under_way and sights[work].pid is not None
        wanted = [sights[one].under_way for one in self._tally.open(victim)]
        return all(wanted) if patient else any(wanted)

    def _kill(self, victim: str, work: str | None, sights: dict[str, Sight]) -> tuple[tuple[str, ...], float]:
        """The works whose process died, and the seconds until a server was there again."""
        if victim == WEB_SERVER:
            known = set(self._web.runs())
            self._web.kill(runs=False)
            restart_s = self._web.start()
            if lost_sight := known - set(self._web.runs()):
                self._tally.problems.append(f"the web server that was started again does not show {lost_sight}")
            return (), restart_s
        if victim == DAEMON:
            with_runs = self._round.number % 2 == 1
            self._daemon.kill(runs=with_runs)
            lost = tuple(one for one in WORKS if with_runs and sights[one].pid is not None)
            return lost, self._daemon.start()
        assert work is not None
        pid = sights[work].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return (work,), 0.0

    def _note(
        self,
        victim: str,
        work: str | None,
        before: dict[str, Sight],
        lost: tuple[str, ...],
        restart_s: float,
    ) -> None:
        after = self._watch.see_all()
        meant = WORKS if work is None else (work,)
        works = tuple(one for one in meant if before[one].under_way and after[one].under_way)
        self._tally.too_late += not works
        self._tally.kills.append(Kill(self._round.number, victim, works, lost, round(restart_s, 1)))
        tell(f"round {self._round.number}: {victim} killed in the middle of {', '.join(works) or 'nothing'}")


def tell(line: str) -> None:
    """Progress, for people."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
