"""A node of the loopback cluster: pods are processes with mounts, host name and process ids of their own.

What a pod is given is exactly what its object says: environment from ConfigMaps and Secrets, volumes at their mount
paths, its account's token. The network is the machine's, users and read-only roots are not enforced. Needs root and
`unshare` (util-linux).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers.kubernetes_api import KubernetesApi, Object

from benchmarks.machines import on_machine

ACCOUNT_FOLDER = "/run/secrets/kubernetes.io/serviceaccount"
ROOT = "/srv"


@dataclass(frozen=True)
class Image:
    """What stands for a container image: a folder seen at `place`, and the environment it comes with."""

    name: str
    folder: Path
    place: str
    environment: dict[str, str]


@dataclass
class Process:
    """A running container."""

    command: list[str]
    log_file: Path
    _process: subprocess.Popen[bytes] | None = None
    problem: str = ""

    def start(self) -> None:
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env={}
            )

    def phase(self) -> str:
        if self._process is None:
            return "Pending"
        code = self._process.poll()
        return "Running" if code is None else "Failed" if code else "Succeeded"

    def log(self) -> str:
        return self.problem or self.log_file.read_text(encoding="utf-8", errors="replace")

    def signal(self, number: int) -> None:
        """To the container's first process; `unshare`, its parent, ends with it."""
        if self._process is None or self._process.poll() is not None:
            return
        outer = self._process.pid
        for child in Path(f"/proc/{outer}/task/{outer}/children").read_text(encoding="ascii").split():
            os.kill(int(child), number)

    def terminate(self, grace_s: float) -> None:
        if self._process is None:
            return
        self.signal(signal.SIGTERM if grace_s else signal.SIGKILL)
        threading.Thread(target=self._kill_after, args=(grace_s,), daemon=True).start()
        if not grace_s:
            self._process.wait(30)

    def _kill_after(self, grace_s: float) -> None:
        assert self._process is not None
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)


@dataclass
class Node:
    """Runs pods of `api`'s cluster below `folder`.

    Args:
        reachable: folders below /tmp that stand for servers elsewhere (sockets), seen by all pods.
        names: host names that lead to this machine.
    """

    api: KubernetesApi
    folder: Path
    image: Image
    reachable: list[Path] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def claim(self, name: str) -> Path:
        """The folder of a persistent volume claim."""
        path = self.folder / "claims" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def run(self, pod: Object) -> Process:
        """Start the pod's container. One that cannot be configured stays pending and says why in its log."""
        place = self.folder / "pods" / pod["metadata"]["name"]
        place.mkdir(parents=True)
        process = Process([], place / "log")
        process.log_file.touch()
        try:
            process.command = self._command(pod, place)
        except LookupError as error:
            process.problem = f"CreateContainerConfigError: {error}"
            return process
        process.start()
        return process

    def _command(self, pod: Object, place: Path) -> list[str]:
        (container,) = pod["spec"]["containers"]
        if container["image"] != self.image.name:
            raise LookupError(f"no image {container['image']!r}")
        environment = {
            **self.image.environment,
            **environment_of(container, self.api, pod["metadata"].get("namespace", "promptory")),
            "HOSTNAME": pod["metadata"]["name"],
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.api.port),
        }
        words = [*container.get("command", []), *container.get("args", [])]
        script = place / "start.sh"
        script.write_text("\n".join(self._script(pod, container, place)), encoding="utf-8")
        variables = [f"{name}={value}" for name, value in environment.items()]
        path = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        with_path = ["/usr/bin/env", f"PATH={path}", "/bin/sh", str(script)]
        return [*on_machine(pod["metadata"]["name"]), *with_path, "/usr/bin/env", "-i", *variables, *words]

    def _script(self, pod: Object, container: Object, place: Path) -> list[str]:
        sources = self._volumes(pod, place)
        hosts = place / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {' '.join(self.names)}\n", encoding="ascii")
        lines = [
            "set -e",
            f"mount --bind {hosts} /etc/hosts",
            "mount -t tmpfs tmpfs /run",
            f"mount -t tmpfs tmpfs {ROOT}",
            *_bind(self._account(pod, place), ACCOUNT_FOLDER),
            *_bind(self.image.folder, self.image.place),
        ]
        mounts = container.get("volumeMounts", [])
        for mount in (each for each in mounts if each["mountPath"] != "/tmp"):
            lines += _bind(sources[mount["name"]] / mount.get("subPath", ""), mount["mountPath"])
        for mount in (each for each in mounts if each["mountPath"] == "/tmp"):
            lines += self._own_tmp(sources[mount["name"]])
        return [*lines, f"cd {self.image.place}", 'exec "$@"']

    def _own_tmp(self, source: Path) -> list[str]:
        """Let the pod have a /tmp of its own, in which only the reachable folders of the machine's are seen."""
        lines = []
        for number, folder in enumerate(self.reachable):
            lines += _bind(folder, f"{ROOT}/.reachable/{number}")
        lines.append(f"mount --bind {source} /tmp")
        for number, folder in enumerate(self.reachable):
            lines += _bind(Path(f"{ROOT}/.reachable/{number}"), str(folder))
        return lines

    def _volumes(self, pod: Object, place: Path) -> dict[str, Path]:
        folders = {}
        for volume in pod["spec"].get("volumes", []):
            folder = place / "volumes" / volume["name"]
            if "persistentVolumeClaim" in volume:
                folder = self.claim(volume["persistentVolumeClaim"]["claimName"])
            folder.mkdir(parents=True, exist_ok=True)
            if "configMap" in volume:
                for name, text in _data(self.api, "ConfigMap", volume["configMap"]["name"]).items():
                    (folder / name).write_text(text, encoding="utf-8")
            folders[volume["name"]] = folder
        return folders

    def _account(self, pod: Object, place: Path) -> Path:
        folder = place / "account"
        folder.mkdir()
        account = pod["spec"]["serviceAccountName"]
        if self.api.find("ServiceAccount", account) is None:
            raise LookupError(f"no service account {account!r}")
        (folder / "token").write_text(self.api.token(account), encoding="ascii")
        (folder / "namespace").write_text("promptory", encoding="ascii")
        shutil.copy(self.api.certificate, folder / "ca.crt")
        return folder


def environment_of(container: Object, api: KubernetesApi, namespace: str) -> dict[str, str]:
    """The variables a container is started with.

    Raises:
        LookupError: a ConfigMap, a Secret or a key is not there.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        for kind, reference in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if reference in source:
                found |= _data(api, kind, source[reference]["name"])
    for variable in container.get("env", []):
        found[variable["name"]] = _value(variable, api, namespace)
    return found


def _value(variable: Object, api: KubernetesApi, namespace: str) -> str:
    origin: dict[str, Any] = variable.get("valueFrom") or {}
    if "secretKeyRef" in origin:
        return _data(api, "Secret", origin["secretKeyRef"]["name"])[origin["secretKeyRef"]["key"]]
    if "fieldRef" in origin:
        return {"metadata.namespace": namespace}[origin["fieldRef"]["fieldPath"]]
    return variable.get("value", "")


def _data(api: KubernetesApi, kind: str, name: str) -> dict[str, str]:
    found = api.find(kind, name)
    if found is None:
        raise LookupError(f"no {kind} {name!r}")
    return {**found.get("data", {}), **found.get("stringData", {})}


def _bind(source: Path, target: str) -> list[str]:
    """Mount a folder or a file."""
    make = f"mkdir -p {target}"
    if source.is_file():
        make = f"mkdir -p {Path(target).parent} && touch {target}"
    return [make, f"mount --bind {source} {target}"]
