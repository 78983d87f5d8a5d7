"""The manifests: they fit Kubernetes' schemas, name only what exists, and keep to what docs/deployment.md promises."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml
from deploy.rendering import OVERLAYS, Object, named, pod_specs, render

VERSIONS = ("1.31", "1.34", "1.37")
SECRETS = {"promptory-stores", "promptory-providers"}
SERVERS = ("promptory-code", "promptory-web", "promptory-daemon")
DAEMON_AND_WEB = ("promptory-web", "promptory-daemon")


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return render(request.param)


def instance_config(objects: list[Object]) -> dict[str, Any]:
    return yaml.safe_load(named(objects, "ConfigMap", "promptory-dagster")["data"]["dagster.yaml"])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_schema(objects: list[Object], version: str) -> None:
    assert len(objects) >= 20
    for each in objects:
        kubernetes_validate.validate(each, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    pod = pod_specs(render("production"))["promptory-web"]
    deployment = named(render("production"), "Deployment", "promptory-web")
    deployment["spec"]["template"]["spec"] = {**pod, "terminationGracePeriod": 30}
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


def test_what_pods_name_exists(objects: list[Object]) -> None:
    there = {(each["kind"], each["metadata"]["name"]) for each in objects}
    there |= {("Secret", name) for name in SECRETS}
    launcher = instance_config(objects)["run_launcher"]["config"]
    wanted = {("ConfigMap", name) for name in [*launcher["env_config_maps"], launcher["instance_config_map"]]}
    wanted |= {("Secret", name) for name in launcher["env_secrets"]}
    wanted.add(("ServiceAccount", launcher["service_account_name"]))
    volumes = list(launcher["volumes"])
    for spec in pod_specs(objects).values():
        (container,) = spec["containers"]
        volumes += spec["volumes"]
        wanted.add(("ServiceAccount", spec["serviceAccountName"]))
        for source in container["envFrom"]:
            wanted |= {("ConfigMap", source["configMapRef"]["name"])} if "configMapRef" in source else set()
            wanted |= {("Secret", source["secretRef"]["name"])} if "secretRef" in source else set()
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
    wanted |= {("ConfigMap", volume["configMap"]["name"]) for volume in volumes if "configMap" in volume}
    claims = [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume]
    wanted |= {("PersistentVolumeClaim", claim["claimName"]) for claim in claims}
    assert wanted <= there
    assert {mount["name"] for mount in launcher["volume_mounts"]} == {volume["name"] for volume in launcher["volumes"]}


def test_selectors_find_their_pods(objects: list[Object]) -> None:
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in objects
        if each["kind"] == "Deployment"
    }
    for name, own in labels.items():
        assert named(objects, "Deployment", name)["spec"]["selector"]["matchLabels"].items() <= own.items()
    for service in (each for each in objects if each["kind"] == "Service"):
        name = service["metadata"]["name"]
        assert service["spec"]["selector"].items() <= labels[name].items()
        ports = pod_specs(objects)[name]["containers"][0]["ports"]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= {port["name"] for port in ports}
    budget = named(objects, "PodDisruptionBudget", "promptory-web")
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels["promptory-web"].items()
    assert budget["spec"]["minAvailable"] < named(objects, "Deployment", "promptory-web")["spec"]["replicas"]


def test_pods_may_do_little(objects: list[Object]) -> None:
    launcher = instance_config(objects)["run_launcher"]["config"]
    runs = launcher["run_k8s_config"]["pod_spec_config"]
    contexts = [(spec["securityContext"], spec["containers"][0]) for spec in pod_specs(objects).values()]
    contexts.append((runs["securityContext"], {**launcher, "securityContext": launcher["security_context"]}))
    for pod, container in contexts:
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] == 10001
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_secrets_are_only_named(objects: list[Object]) -> None:
    assert not [each for each in objects if each["kind"] == "Secret"]
    for name in DAEMON_AND_WEB:
        (container,) = pod_specs(objects)[name]["containers"]
        keys = [each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"] if "secretKeyRef" in str(each)]
        assert keys == ["DAGSTER_POSTGRES_URL"]
        assert not any("secretRef" in source for source in container["envFrom"])


def test_runs_take_the_image_of_the_code_server(objects: list[Object]) -> None:
    specs = pod_specs(objects)
    (image,) = {spec["containers"][0]["image"] for spec in specs.values()}
    launched = {each["name"]: each.get("value") for each in specs["promptory-code"]["containers"][0]["env"]}
    assert launched["DAGSTER_CURRENT_IMAGE"] == image == "registry.example.com/promptory:0.1.0"
    assert "job_image" not in instance_config(objects)["run_launcher"]["config"]


def test_servers_are_probed_and_end_in_time(objects: list[Object]) -> None:
    for name in SERVERS:
        spec = pod_specs(objects)[name]
        assert "livenessProbe" in spec["containers"][0], name
        assert spec["terminationGracePeriodSeconds"] >= 30
    for name in ("promptory-code", "promptory-web"):
        assert {"startupProbe", "readinessProbe"} <= pod_specs(objects)[name]["containers"][0].keys()
    config = instance_config(objects)
    grace = config["run_launcher"]["config"]["run_k8s_config"]["pod_spec_config"]["terminationGracePeriodSeconds"]
    assert grace < config["run_monitoring"]["cancel_timeout_seconds"]


def test_only_where_steps_have_pods_may_runs_start_any() -> None:
    for overlay, accounts, executor in (
        ("production", {"promptory-control"}, "in_process"),
        ("step-pods", {"promptory-control", "promptory-run"}, "kubernetes"),
    ):
        objects = render(overlay)
        bindings = [each for each in objects if each["kind"] == "RoleBinding"]
        assert {subject["name"] for each in bindings for subject in each["subjects"]} == accounts
        environment = named(objects, "ConfigMap", "promptory-environment")["data"]
        assert environment["PROMPTORY_EXECUTOR"] == executor


def test_every_object_belongs_to_a_stage_of_the_rollout(objects: list[Object]) -> None:
    stages = {each["metadata"]["labels"]["promptory/stage"] for each in objects}
    assert stages == {"foundation", "migration", "services"}
    assert named(objects, "Namespace", "promptory")["metadata"]["labels"]["promptory/stage"] == "foundation"
    first = {
        "Namespace",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ConfigMap",
        "PersistentVolumeClaim",
        "NetworkPolicy",
    }
    for each in objects:
        stage = each["metadata"]["labels"]["promptory/stage"]
        assert (each["kind"] in first) == (stage == "foundation"), each["metadata"]
