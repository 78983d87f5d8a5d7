"""A loopback Kubernetes API server that checks what it receives, over HTTPS with tokens as in a cluster.

Jobs must fit the real schema (strictly), and every request must be allowed by the Roles and RoleBindings among the
objects it was given. Pods run on the node it is handed (`kubernetes_node.py`); without one they stay pending.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import yaml
from servers.certificates import write_certificate

Object = dict[str, Any]
# The API a cluster must have at least; the manifests use nothing newer.
VERSION = "1.31"


class Container(Protocol):
    """A pod's one container, where it runs."""

    def phase(self) -> str:
        """Pending, Running, Succeeded or Failed."""
        ...

    def log(self) -> str: ...

    def terminate(self, grace_s: float) -> None:
        """SIGTERM, and SIGKILL once the grace is over; returns at once."""
        ...


@dataclass(frozen=True)
class Request:
    """What was asked, by whom, and how it was answered."""

    method: str
    path: str
    account: str
    status: int
    body: Object


@dataclass
class Pod:
    """A pod as the server keeps it."""

    body: Object
    container: Container | None

    def as_object(self) -> Object:
        phase = self.container.phase() if self.container else "Pending"
        return {**self.body, "status": {"phase": phase, "containerStatuses": []}}


@dataclass
class Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    """An answer that is an error, as Kubernetes words it."""

    code: int
    reason: str
    message: str


@dataclass
class KubernetesApi:
    """The server. Use as a context manager.

    Args:
        documents: the cluster's objects: ConfigMaps, Secrets, accounts, roles.
        start: runs a pod (its object), given by a node.
        folder: for certificate and credentials.
        answers_to_lose: so many requests to come are carried out and answered with an error of the server.
    """

    documents: list[Object]
    folder: Path
    start: Callable[[Object], Container] | None = None
    requests: list[Request] = field(default_factory=list)
    jobs: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    answers_to_lose: int = 0
    _tokens: dict[str, str] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> KubernetesApi:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificate, key = write_certificate(self.folder)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="kubernetes-api", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
        for pod in list(self.pods.values()):
            if pod.container:
                pod.container.terminate(0)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def token(self, account: str) -> str:
        """The token of a service account."""
        token = uuid.uuid5(uuid.NAMESPACE_OID, account).hex
        self._tokens[token] = account
        return token

    def kubeconfig(self, account: str, namespace: str) -> Path:
        """A file with which a client outside the cluster is `account`."""
        path = self.folder / f"kubeconfig-{account}.yaml"
        server = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.certificate)}
        values = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "loopback", "cluster": server}],
            "users": [{"name": account, "user": {"token": self.token(account)}}],
            "contexts": [{"name": "here", "context": {"cluster": "loopback", "user": account, "namespace": namespace}}],
            "current-context": "here",
        }
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    def find(self, kind: str, name: str) -> Object | None:
        """An object by kind and name."""
        found = (each for each in self.documents if each["kind"] == kind and each["metadata"]["name"] == name)
        return next(found, None)

    def started(self, component: str) -> list[Object]:
        """The Jobs created so far for `run_worker` or `step_worker`, in order."""
        label = "app.kubernetes.io/component"
        with self._lock:
            created = [each.body for each in self.requests if each.method == "POST" and each.status == 201]
        return [body for body in created if body["metadata"]["labels"].get(label) == component]

    def answer(self, method: str, target: str, token: str, body: Object) -> tuple[int, Object | str]:
        """Carry out one request."""
        parts = urlsplit(target)
        account = self._tokens.get(token, "")
        with self._lock:
            try:
                result: Object | str = self._dispatch(method, parts.path, parse_qs(parts.query), account, body)
                status = 201 if method == "POST" else 200
            except Refused as error:
                status = error.code
                result = {"kind": "Status", "status": "Failure", "code": status, "reason": error.reason,
                          "message": error.message}  # fmt: skip
            self.requests.append(Request(method, parts.path, account, status, body))
            if self.answers_to_lose:
                self.answers_to_lose -= 1
                return 503, {"kind": "Status", "status": "Failure", "code": 503, "reason": "ServiceUnavailable"}
        return status, result

    def _dispatch(self, method: str, path: str, query: dict[str, list[str]], account: str, body: Object) -> Any:
        for verb, way, group, resource, pattern, handle in _ROUTES:
            found = re.fullmatch(pattern, path)
            if way == method and found:
                self._authorize(account, group, resource, verb)
                if self.find("Namespace", found["namespace"]) is None:
                    raise Refused(404, "NotFound", f"namespaces {found['namespace']!r} not found")
                return handle(self, found.groupdict().get("name", ""), query, body)
        raise Refused(404, "NotFound", f"the server could not find the requested resource {method} {path}")

    def _authorize(self, account: str, group: str, resource: str, verb: str) -> None:
        if not account:
            raise Refused(401, "Unauthorized", "Unauthorized")
        for rule in self._rules_of(account):
            if group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]:
                return
        raise Refused(403, "Forbidden", f"{account} cannot {verb} resource {resource!r} in API group {group!r}")

    def _rules_of(self, account: str) -> Iterable[Object]:
        for binding in (each for each in self.documents if each["kind"] == "RoleBinding"):
            if account in [each["name"] for each in binding["subjects"] if each["kind"] == "ServiceAccount"]:
                role = self.find("Role", binding["roleRef"]["name"])
                yield from role["rules"] if role else []

    def _create_job(self, _name: str, _query: dict[str, list[str]], body: Object) -> Object:
        try:
            kubernetes_validate.validate(body, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Refused(422, "Invalid", error.message) from error
        name = body["metadata"]["name"]
        if name in self.jobs:
            raise Refused(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
        self.jobs[name] = {**body, "metadata": {**body["metadata"], "uid": uuid.uuid4().hex}}
        template = body["spec"]["template"]
        labels = {**template["metadata"].get("labels", {}), "job-name": name}
        metadata = {**template["metadata"], "name": f"{name}-{uuid.uuid4().hex[:5]}", "labels": labels,
                    "uid": uuid.uuid4().hex, "namespace": "promptory"}  # fmt: skip
        self.add_pod({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
        return self.jobs[name]

    def add_pod(self, body: Object) -> Pod:
        """Have the node run it."""
        pod = Pod(body, self.start(body) if self.start else None)
        self.pods[body["metadata"]["name"]] = pod
        return pod

    def _job(self, name: str, _query: dict[str, list[str]], _body: Object) -> Object:
        if name not in self.jobs:
            raise Refused(404, "NotFound", f'jobs.batch "{name}" not found')
        phases = [pod.as_object()["status"]["phase"] for pod in self._pods_of(name)]
        status: Object = {kind: phases.count(phase) or None for kind, phase in _COUNTED.items()}
        if "Succeeded" in phases:
            status["completionTime"] = datetime.now(UTC).isoformat()
        return {**self.jobs[name], "status": {key: value for key, value in status.items() if value}}

    def _list_jobs(self, _name: str, query: dict[str, list[str]], _body: Object) -> Object:
        wanted = query.get("fieldSelector", [""])[0].removeprefix("metadata.name=")
        names = [name for name in self.jobs if wanted in ("", name)]
        return {"kind": "JobList", "apiVersion": "batch/v1", "items": [self._job(name, query, {}) for name in names]}

    def _delete_job(self, name: str, query: dict[str, list[str]], body: Object) -> Object:
        job = self._job(name, query, body)
        del self.jobs[name]
        return job

    def _list_pods(self, _name: str, query: dict[str, list[str]], _body: Object) -> Object:
        wanted = re.sub(r"^job-name==?", "", query.get("labelSelector", [""])[0])
        pods = self._pods_of(wanted) if wanted else list(self.pods.values())
        return {"kind": "PodList", "apiVersion": "v1", "items": [pod.as_object() for pod in pods]}

    def _pods_of(self, job: str) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.body["metadata"]["labels"].get("job-name") == job]

    def _pod(self, name: str, _query: dict[str, list[str]], _body: Object) -> Object:
        return self._pod_named(name).as_object()

    def _pod_named(self, name: str) -> Pod:
        if name not in self.pods:
            raise Refused(404, "NotFound", f'pods "{name}" not found')
        return self.pods[name]

    def _delete_pod(self, name: str, _query: dict[str, list[str]], _body: Object) -> Object:
        pod = self._pod_named(name)
        if pod.container:
            pod.container.terminate(pod.body["spec"].get("terminationGracePeriodSeconds", 30))
        del self.pods[name]
        return pod.as_object()

    def _pod_log(self, name: str, _query: dict[str, list[str]], _body: Object) -> str:
        container = self._pod_named(name).container
        return container.log() if container else ""

    def _list_events(self, _name: str, _query: dict[str, list[str]], _body: Object) -> Object:
        return {"kind": "EventList", "apiVersion": "v1", "items": []}


_COUNTED = {"active": "Running", "succeeded": "Succeeded", "failed": "Failed", "ready": "Running"}
_JOBS = r"/apis/batch/v1/namespaces/(?P<namespace>[^/]+)/jobs"
_CORE = r"/api/v1/namespaces/(?P<namespace>[^/]+)"
_NAME = r"/(?P<name>[^/]+)"
_Handler = Callable[[KubernetesApi, str, dict[str, list[str]], Object], Any]
_ROUTES: list[tuple[str, str, str, str, str, _Handler]] = [
    ("create", "POST", "batch", "jobs", _JOBS, KubernetesApi._create_job),
    ("list", "GET", "batch", "jobs", _JOBS, KubernetesApi._list_jobs),
    ("get", "GET", "batch", "jobs", _JOBS + _NAME, KubernetesApi._job),
    ("get", "GET", "batch", "jobs/status", _JOBS + _NAME + "/status", KubernetesApi._job),
    ("delete", "DELETE", "batch", "jobs", _JOBS + _NAME, KubernetesApi._delete_job),
    ("list", "GET", "", "pods", _CORE + "/pods", KubernetesApi._list_pods),
    ("get", "GET", "", "pods", _CORE + "/pods" + _NAME, KubernetesApi._pod),
    ("delete", "DELETE", "", "pods", _CORE + "/pods" + _NAME, KubernetesApi._delete_pod),
    ("get", "GET", "", "pods/log", _CORE + "/pods" + _NAME + "/log", KubernetesApi._pod_log),
    ("list", "GET", "", "events", _CORE + "/events", KubernetesApi._list_events),
]


def _handler(api: KubernetesApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            token = (self.headers.get("Authorization") or "").rpartition(" ")[2]
            status, result = api.answer(self.command, self.path, token, body)
            kind, sent = ("text/plain", result) if isinstance(result, str) else ("application/json", json.dumps(result))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(sent.encode())))
            self.end_headers()
            self.wfile.write(sent.encode())

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - the base class's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's signature
            """Say nothing."""

    return Handler
