"""The deployed manifests at work: their pods as processes, on a PostgreSQL and a Redis server of the test's."""

from __future__ import annotations

import errno
import json
import random
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from deploy.rendering import CHECKOUT, Object, named, render
from grpc_health.v1 import health_pb2, health_pb2_grpc
from servers.kubernetes_api import KubernetesApi, Pod
from servers.kubernetes_node import Image, Node

PATIENCE_S = 240
APP = "/srv/promptory/app"
PRINTED_LINES = 40
_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"


def wait_until(reached: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """What `reached` gives once that is true, and a failure when it never is."""
    deadline = time.monotonic() + patience_s
    while not (found := reached()):
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s for {what}"
        time.sleep(0.25)
    return found


@dataclass
class Cluster:
    """The objects of an overlay, an API server that holds them, and a node."""

    objects: list[Object]
    api: KubernetesApi
    node: Node
    ports: dict[str, int]
    pods: dict[str, Pod] = field(default_factory=dict)

    def start(self, kind: str, name: str) -> Pod:
        """Run the pod of a Deployment or Job."""
        template = named(self.objects, kind, name)["spec"]["template"]
        labels = template["metadata"]["labels"]
        body = {"metadata": {"name": f"{name}-0", "namespace": "promptory", "labels": labels}, "spec": template["spec"]}
        self.pods[name] = self.api.add_pod(body)
        return self.pods[name]

    def wait_ready(self, name: str) -> None:
        """Ask the pod's own readiness probe until it says yes."""
        (container,) = self.pods[name].body["spec"]["containers"]
        probe = container["readinessProbe"]

        def ready() -> bool:
            assert self.phase(name) == "Running", self.tail(name)
            if "grpc" in probe:
                return _grpc_is_well(probe["grpc"]["port"], probe["grpc"]["service"])
            port = {each["name"]: each["containerPort"] for each in container["ports"]}[probe["httpGet"]["port"]]
            return _http_is_well(port, probe["httpGet"]["path"])

        wait_until(ready, f"{name} to be ready; it says: {self.tail(name)}", 120)

    def wait_done(self, name: str) -> None:
        """Wait for a pod that ends by itself; it must end well."""
        wait_until(lambda: self.phase(name) != "Running", f"{name} to end", 120)
        assert self.phase(name) == "Succeeded", self.tail(name)

    def phase(self, name: str) -> str:
        return self.pods[name].as_object()["status"]["phase"]

    def tail(self, name: str) -> str:
        """The last lines a pod wrote."""
        container = self.pods[name].container
        return "\n".join((container.log() if container else "").splitlines()[-PRINTED_LINES:])

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The web server's answer to a GraphQL query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['http']}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:2000]) from error
        assert "errors" not in told, told
        return told["data"]

    def wait_loaded(self) -> None:
        """Wait until the web server has the code server's definitions; it may have started before it."""
        wait_until(lambda: "RepositoryLocation" in str(self.ask(_LOCATIONS)), "the code location", 120)


@contextmanager
def open_cluster(
    overlay: str,
    folder: Path,
    secrets: Mapping[str, Mapping[str, str]],
    settings: Mapping[str, Any],
    reachable: list[Path],
    image_environment: Mapping[str, str],
) -> Iterator[Cluster]:
    """A cluster with the overlay's objects, these secrets, and `settings` as promptory.yaml; its pods end with it.

    Three things differ from the manifests: the ports, because all pods share this machine's; the catalog, which is on
    the shared volume instead of in the image; and the settings, which are what each installation writes itself.
    """
    objects = render(overlay)
    ports = {"grpc": free_port(), "http": free_port()}
    _listen_elsewhere(objects, ports)
    named(objects, "ConfigMap", "promptory-settings")["data"]["promptory.yaml"] = yaml.safe_dump(dict(settings))
    environment = named(objects, "ConfigMap", "promptory-environment")["data"]
    environment["PROMPTORY_CATALOG"] = "/srv/promptory/data/catalog"
    for name, values in secrets.items():
        metadata = {"name": name, "namespace": "promptory"}
        objects.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)})
    (image,) = {
        each["spec"]["template"]["spec"]["containers"][0]["image"] for each in objects if each["kind"] == "Deployment"
    }
    with ExitStack() as stack:
        api = KubernetesApi(objects, folder / "api")
        node = Node(api, folder, Image(image, CHECKOUT, APP, dict(image_environment)), reachable, ["promptory-code"])
        api.start = node.run
        stack.enter_context(api)
        yield Cluster(objects, api, node, ports)


def _listen_elsewhere(objects: list[Object], ports: Mapping[str, int]) -> None:
    """Give the servers ports that nothing else on this machine has."""
    names = {"promptory-code": ("grpc", 4000), "promptory-web": ("http", 3000)}
    for name, (port_name, usual) in names.items():
        (container,) = named(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        container["args"] = [str(ports[port_name]) if word == str(usual) else word for word in container["args"]]
        container["ports"][0]["containerPort"] = ports[port_name]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if "grpc" in container[probe]:
                container[probe]["grpc"]["port"] = ports[port_name]
    instance = named(objects, "ConfigMap", "promptory-dagster")["data"]
    instance["workspace.yaml"] = instance["workspace.yaml"].replace("4000", str(ports["grpc"]))


def free_port() -> int:
    """A port that the kernel gives to nobody by itself, so that no connection has it before the pod does."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED:
                return port
    raise RuntimeError("no port is free")


def _grpc_is_well(port: int, service: str) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=2
            )
        except grpc.RpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def _http_is_well(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
