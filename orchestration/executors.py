"""Where the steps of a run work."""

from __future__ import annotations

import dagster as dg

from orchestration.environments import Environment


def choose_executor(environment: Environment) -> dg.ExecutorDefinition:
    """One process per run, unless the environment asks for a pod per step.

    A process per step costs seconds and a pod tens of them, while the steps of a loop wait for each other anyway. Pods
    pay where a step must have memory or a machine of its own.
    """
    if environment.executor == "in_process":
        return dg.in_process_executor
    from dagster_k8s import k8s_job_executor  # a second of imports that a laptop does not need

    # A run may end while one of its step pods still works; owned by the run's pod, it goes with it.
    return k8s_job_executor.configured({"enable_owner_references": True}, name="kubernetes")
