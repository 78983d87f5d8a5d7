"""The instance of a cluster, on a PostgreSQL of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance import InstanceRef
from deploy.rendering import Object, named, render
from servers.kubernetes_api import KubernetesApi

NAMESPACE = "promptory"


def for_dagster(url: str) -> str:
    """The URL of a database for Dagster's own storage."""
    return url.replace("postgresql+psycopg://", "postgresql+psycopg2://")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[KubernetesApi]:
    """An API server that knows the manifests' objects and runs nothing."""
    with KubernetesApi(render("production"), tmp_path / "api") as server:
        yield server


@pytest.fixture
def instance_config(api: KubernetesApi) -> dict[str, Any]:
    """The deployed dagster.yaml, for a launcher that reaches the API server from outside."""
    documents: list[Object] = api.documents
    config = yaml.safe_load(named(documents, "ConfigMap", "promptory-dagster")["data"]["dagster.yaml"])
    outside = {"load_incluster_config": False, "kubeconfig_file": str(api.kubeconfig("promptory-control", NAMESPACE))}
    config["run_launcher"]["config"] |= outside
    return config


@pytest.fixture
def cluster_instance(
    instance_config: dict[str, Any], tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """The instance that this configuration makes."""
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(instance_config), encoding="utf-8")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", for_dagster(postgres_url))
    monkeypatch.setenv("PROMPTORY_NAMESPACE", NAMESPACE)
    for name in [name for name in os.environ if name.startswith("PROMPTORY_") and name != "PROMPTORY_NAMESPACE"]:
        monkeypatch.delenv(name)
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        yield instance
