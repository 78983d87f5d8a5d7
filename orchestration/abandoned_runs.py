"""Runs whose process was killed where nobody was left to notice, so that they would never end."""

from __future__ import annotations

import dagster as dg
from dagster._core.storage.runs import SqliteRunStorage  # public only as the name in dagster.yaml

from resources.llm.state.process_mark import ProcessMark, is_gone, process_here, this_boot, this_process

STARTED_BY = "promptory/started_by"
PROCESS = "promptory/process"
BOOT = "promptory/boot"
MACHINE = "promptory/machine"
COMMAND_LINE = "cli"
# The person at the terminal decides whether to run it again; the daemon must not do so behind their back.
MAX_RETRIES = "dagster/max_retries"


def own_tags() -> dict[str, str]:
    """The tags of a run in this process."""
    return {STARTED_BY: COMMAND_LINE, PROCESS: _text(this_process()), BOOT: this_boot(), MAX_RETRIES: "0"}


def machine_tags() -> dict[str, str]:
    """The tags of a run that is about to get a process of its own on this machine.

    A run that is started again has its predecessor's tags, the dead process's among them.
    """
    return {MACHINE: this_process().machine, BOOT: this_boot(), PROCESS: ""}


def close_abandoned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs of processes that are gone as failed, so that they hold no place in the queue; their ids."""
    running = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={STARTED_BY: COMMAND_LINE})
    closed: list[str] = []
    for run in instance.get_runs(filters=running):
        if is_abandoned(instance, run):
            instance.report_run_failed(run, "The process that ran it was killed. Run it again: it goes on from there.")
            closed.append(run.run_id)
    return closed


def is_abandoned(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the process of a run that has started is certainly gone."""
    # No other machine has a history in SQLite, so that a run of another boot is from before a reboot. In a shared one
    # it may as well be alive, on a machine that happens to have this one's name.
    alone = isinstance(instance.run_storage, SqliteRunStorage)
    boot = this_boot()
    if run.tags.get(BOOT, boot) != boot:
        return alone and _machine_of(run) == this_process().machine
    process = process_of(instance, run)
    return process is not None and is_gone(process, this_process())


def process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> ProcessMark | None:
    """The process of a run that has started; None where it is not known to be one of this machine.

    A launched run's event tells the process's id only. When it started is looked up at the first look, seconds later,
    and kept: an id that is given to another process afterwards is not taken for it.
    """
    if run.tags.get(PROCESS):
        pid, started, machine = run.tags[PROCESS].split(" ", 2)
        return ProcessMark(machine, int(pid), int(started))
    if (run.tags.get(MACHINE), run.tags.get(BOOT)) != (this_process().machine, this_boot()):
        return None
    pid = _told_id(instance, run.run_id)
    if pid is None:
        return None
    process = process_here(pid)
    instance.add_run_tags(run.run_id, {PROCESS: _text(process)})
    return process


def _told_id(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """The id of the process that said it had started the run."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_START):
        if entry.dagster_event is not None:
            return entry.dagster_event.pid
    return None


def _machine_of(run: dg.DagsterRun) -> str | None:
    return run.tags[PROCESS].split(" ", 2)[2] if run.tags.get(PROCESS) else run.tags.get(MACHINE)


def _text(process: ProcessMark) -> str:
    return f"{process.pid} {process.started} {process.machine}"
