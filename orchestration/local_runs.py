"""Runs as processes of this machine, watched even when whoever started them is gone."""

from __future__ import annotations

import os
import signal

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError  # what an absent code server comes as
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus  # of a launcher of one's own

from orchestration.abandoned_runs import is_abandoned, machine_tags, process_of
from resources.llm.state.process_mark import is_gone, this_process


class LocalRunLauncher(dg.DefaultRunLauncher):
    """Dagster's default launcher, and an eye on its processes. Name it as `run_launcher` in `dagster.yaml`.

    The code server that started a run's process reports its death, and passes on who terminates it. When the code
    server died as well (with the daemon, or out of memory), nobody would: the run would be "started", and hold its
    place in the queue, until `max_runtime_seconds`. So run monitoring looks at the process itself, and a run whose
    code server is gone is terminated by a signal.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        """Note on which machine, and launch."""
        # Before: whoever dies in between must not leave a run that nobody can look after.
        self._instance.add_run_tags(context.dagster_run.run_id, machine_tags())
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It does."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process is there. One that cannot be seen from here counts as running."""
        if is_abandoned(self._instance, run):
            return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run's process; whether there was one."""
        try:
            return super().terminate(run_id)
        except DagsterUserCodeUnreachableError:
            run = self._instance.get_run_by_id(run_id)
            process = process_of(self._instance, run) if run is not None else None
            if process is None or process.machine != this_process().machine or is_gone(process, this_process()):
                return False
            os.kill(process.pid, signal.SIGINT)
            return True
