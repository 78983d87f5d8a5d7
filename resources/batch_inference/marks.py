"""Who works on a batch, written so that another process can tell whether that one still lives."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from resources.llm.state.process_mark import ProcessMark, is_gone, this_process

_SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class WorkerMark:
    """A worker: its process, and which of the process's workers it is."""

    process: ProcessMark
    name: str

    @classmethod
    def new(cls) -> WorkerMark:
        """A new worker of this process."""
        return cls(this_process(), uuid.uuid4().hex[:12])

    @classmethod
    def parse(cls, text: str) -> WorkerMark:
        """What `text` wrote."""
        machine, pid, started, name = text.rsplit(_SEPARATOR, 3)
        return cls(ProcessMark(machine, int(pid), int(started)), name)

    @property
    def text(self) -> str:
        """For the table."""
        process = self.process
        return _SEPARATOR.join((process.machine, str(process.pid), str(process.started), self.name))

    @property
    def shown(self) -> str:
        """For people."""
        return f"process {self.process.pid} on {self.process.machine.split(' ')[0]}"

    def is_gone(self) -> bool:
        """True when it is certain that it ended; never for one on another machine, whose lease must run out."""
        return is_gone(self.process, this_process())
