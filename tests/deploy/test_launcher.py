"""The run launcher of the deployed instance, against an API server that checks what it receives."""

from __future__ import annotations

import json
import sys
from typing import Any

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.base import WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from servers.kubernetes_api import KubernetesApi

IMAGE = "registry.example.com/promptory:0.1.0"


@dg.op
def _nothing() -> None: ...


@dg.job
def idle() -> None:
    _nothing()


def _new_run(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    """A run as the code server's image would have it launched."""
    place = RepositoryPythonOrigin(
        sys.executable, ModuleCodePointer("orchestration.definitions", "defs"), IMAGE, entry_point=["dagster"]
    )
    return instance.create_run_for_job(
        idle, job_code_origin=JobPythonOrigin("idle", place), tags=tags, status=dg.DagsterRunStatus.STARTING
    )


def _launched(instance: dg.DagsterInstance, api: KubernetesApi) -> tuple[dg.DagsterRun, dict[str, Any]]:
    run = _new_run(instance)
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    (job,) = api.started("run_worker")
    return run, job


def test_a_run_is_one_job_with_everything_by_reference(
    cluster_instance: dg.DagsterInstance, api: KubernetesApi
) -> None:
    run, job = _launched(cluster_instance, api)

    assert [each.account for each in api.requests] == ["promptory-control"]
    assert job["metadata"]["name"] == f"dagster-run-{run.run_id}"
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["ttlSecondsAfterFinished"] == 86400
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        assert metadata["labels"]["dagster/run-id"] == run.run_id
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "promptory"
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["serviceAccountName"] == "promptory-run"
    assert pod["terminationGracePeriodSeconds"] == 120
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert run.run_id in container["args"][3]
    sources = [source["name"] for each in container["envFrom"] for source in each.values()]
    assert sources == ["promptory-environment", "promptory-stores", "promptory-providers"]
    assert {each["name"]: each.get("value") for each in container["env"]}["PROMPTORY_NAMESPACE"] == "promptory"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"] == {"memory": "4Gi"}
    assert "/srv/promptory/data" in [mount["mountPath"] for mount in container["volumeMounts"]]
    sent = json.dumps(job)
    assert "postgresql+psycopg2://" not in sent
    assert "DAGSTER_POSTGRES_URL" in sent


def test_a_run_is_one_job_though_the_answer_to_its_creation_is_lost(
    cluster_instance: dg.DagsterInstance, api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagster_k8s.client.time.sleep", lambda _seconds: None)
    api.answers_to_lose = 1
    _launched(cluster_instance, api)
    assert [each.status for each in api.requests if each.method == "POST"] == [201, 409]
    assert len(api.jobs) == len(api.pods) == 1


def test_termination_may_be_asked_for_again(cluster_instance: dg.DagsterInstance, api: KubernetesApi) -> None:
    run, _ = _launched(cluster_instance, api)
    assert cluster_instance.run_launcher.terminate(run.run_id) is True
    assert (api.jobs, api.pods) == ({}, {})
    deleted = [each.path.rsplit("/", 2)[1] for each in api.requests if each.method == "DELETE"]
    assert deleted == ["jobs", "pods"]

    assert cluster_instance.run_launcher.terminate(run.run_id) is False
    status = cluster_instance.get_run_by_id(run.run_id)
    assert status is not None
    assert status.status is dg.DagsterRunStatus.CANCELING


class Killed:
    """A container that ran out of memory."""

    def phase(self) -> str:
        return "Failed"

    def log(self) -> str:
        return ""

    def terminate(self, grace_s: float) -> None: ...


def test_a_run_whose_pod_was_killed_is_seen_to_have_failed(
    cluster_instance: dg.DagsterInstance, api: KubernetesApi
) -> None:
    """What lets run monitoring fail the run, so that it is started again."""
    run, _ = _launched(cluster_instance, api)
    (pod,) = api.pods.values()
    pod.container = Killed()
    assert cluster_instance.run_launcher.check_run_worker_health(run).status is WorkerStatus.FAILED


def test_an_account_without_the_role_is_refused(cluster_instance: dg.DagsterInstance, api: KubernetesApi) -> None:
    for each in api.documents:
        if each["kind"] == "RoleBinding":
            each["subjects"] = []
    status, answer = api.answer("GET", "/apis/batch/v1/namespaces/promptory/jobs", api.token("promptory-control"), {})
    assert status == 403
    assert isinstance(answer, dict)
    assert answer["reason"] == "Forbidden"
