"""Runs of the command line whose process was killed: nobody else can know that they will never end."""

from __future__ import annotations

import dagster as dg

from resources.llm.state.process_mark import ProcessMark, is_gone, this_process

STARTED_BY = "promptory/started_by"
PROCESS = "promptory/process"
COMMAND_LINE = "cli"
# The person at the terminal decides whether to run it again; the daemon must not do so behind their back.
MAX_RETRIES = "dagster/max_retries"


def own_tags() -> dict[str, str]:
    """The tags of a run in this process."""
    mark = this_process()
    return {STARTED_BY: COMMAND_LINE, PROCESS: f"{mark.pid} {mark.started} {mark.machine}", MAX_RETRIES: "0"}


def close_abandoned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs of processes that are gone as failed, so that they hold no place in the queue; their ids."""
    here = this_process()
    running = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={STARTED_BY: COMMAND_LINE})
    closed: list[str] = []
    for run in instance.get_runs(filters=running):
        pid, started, machine = run.tags[PROCESS].split(" ", 2)
        if is_gone(ProcessMark(machine, int(pid), int(started)), here):
            instance.report_run_failed(run, "The process that ran it was killed. Run it again: it goes on from there.")
            closed.append(run.run_id)
    return closed
