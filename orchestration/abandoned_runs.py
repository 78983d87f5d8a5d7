"""Runs of the command line whose process was killed: nobody else can know that they will never end."""

from __future__ import annotations

import dagster as dg
from dagster._core.storage.runs import SqliteRunStorage  # public only as the name in dagster.yaml

from resources.llm.state.process_mark import ProcessMark, is_gone, this_boot, this_process

STARTED_BY = "promptory/started_by"
PROCESS = "promptory/process"
BOOT = "promptory/boot"
COMMAND_LINE = "cli"
# The person at the terminal decides whether to run it again; the daemon must not do so behind their back.
MAX_RETRIES = "dagster/max_retries"


def own_tags() -> dict[str, str]:
    """The tags of a run in this process."""
    mark = this_process()
    process = f"{mark.pid} {mark.started} {mark.machine}"
    return {STARTED_BY: COMMAND_LINE, PROCESS: process, BOOT: this_boot(), MAX_RETRIES: "0"}


def close_abandoned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs of processes that are gone as failed, so that they hold no place in the queue; their ids."""
    running = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={STARTED_BY: COMMAND_LINE})
    closed: list[str] = []
    for run in instance.get_runs(filters=running):
        if _is_abandoned(run, alone=isinstance(instance.run_storage, SqliteRunStorage)):
            instance.report_run_failed(run, "The process that ran it was killed. Run it again: it goes on from there.")
            closed.append(run.run_id)
    return closed


def _is_abandoned(run: dg.DagsterRun, *, alone: bool) -> bool:
    """Whether the run's process is certainly gone.

    Args:
        alone: no other machine has this history, so that a run of another boot is from before a reboot. In a shared one
            it may as well be alive, on a machine that happens to have this one's name.
    """
    pid, started, machine = run.tags[PROCESS].split(" ", 2)
    here, boot = this_process(), this_boot()
    if run.tags.get(BOOT, boot) != boot:
        return alone and machine == here.machine
    return is_gone(ProcessMark(machine, int(pid), int(started)), here)
