"""The Dockerfile and the rollout script: no image can be built here, but what they rest on can be looked at."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import tomllib
from pathlib import Path

import pytest
from deploy.rendering import CHECKOUT, KUBERNETES, named, pod_specs, render

DOCKERFILE = CHECKOUT / "deploy" / "Dockerfile"
ROLLOUT = CHECKOUT / "deploy" / "rollout.sh"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.M).replace("\\\n", " ")
    lines = (line.split(None, 1) for line in text.splitlines() if line.strip())
    return [(word, rest.strip()) for word, rest in lines]


def copied() -> list[str]:
    return [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]


def test_it_copies_what_exists_and_every_package() -> None:
    for source in copied():
        assert (CHECKOUT / source).exists(), source
    packages = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"packages\.find\]\ninclude = \[(.*?)\]", packages, re.S)
    assert listed
    assert set(re.findall(r'"(\w+)\*"', listed[1])) <= set(copied())


def test_what_it_copies_is_not_ignored() -> None:
    ignore = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert ignore[0] == "*"
    assert {f"!{source}" for source in copied()} == {line for line in ignore if line.startswith("!")}


def test_the_extras_it_names_are_the_projects() -> None:
    named = re.search(r"# Extras by name: (.*?)\.", DOCKERFILE.read_text(encoding="utf-8"))
    assert named
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"\b(?!and|or|for\b)[a-z0-9]+\b", named[1].partition(" for ")[0])) == set(
        project["optional-dependencies"]
    )


def test_it_fits_the_manifests() -> None:
    stage = instructions()[[word for word, _ in instructions()].index("FROM", 1) :]
    settings = dict(stage)
    security = pod_specs(render("production"))["promptory-web"]["securityContext"]
    assert settings["USER"] == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert "ENTRYPOINT" not in settings
    environment = named(render("production"), "ConfigMap", "promptory-environment")["data"]
    assert environment["PROMPTORY_CATALOG"] == f"{settings['WORKDIR']}/catalog"
    assert f"catalog {settings['WORKDIR']}/catalog" in [rest for word, rest in stage if word == "COPY"]


def test_the_lock_makes_constraints_without_hashes(tmp_path: Path) -> None:
    (command,) = [rest for word, rest in instructions() if word == "RUN" and rest.startswith("sed")]
    source = CHECKOUT / "requirements.lock"
    (tmp_path / "requirements.lock").write_bytes(source.read_bytes())
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True)
    lines = [
        line
        for line in (tmp_path / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._\[\],-]+==\S+( ; .*)?", line) for line in lines)
    assert {line.partition("==")[0] for line in lines} >= {"dagster", "dagster-k8s", "psycopg", "redis"}


PRETENDING = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
    "kustomize "*) printf 'metadata:\\n  namespace: promptory\\n' ;;
    *jsonpath*) printf {succeeded} ;;
    *"get secret"*) exit {secret} ;;
    {refused}) exit 1 ;;
    *"get pods"*) printf '{under_way}' ;;
esac
"""


def pretending(folder: Path, succeeded: int = 1, secret: int = 0, refused: str = "none", under_way: str = "") -> Path:
    """A `kubectl` that writes down what it is asked, and its log."""
    log, kubectl = folder / "log", folder / "kubectl"
    text = PRETENDING.format(log=log, succeeded=succeeded, secret=secret, refused=refused, under_way=under_way)
    kubectl.write_text(text, encoding="utf-8")
    kubectl.chmod(0o755)
    return log


def rollout(folder: Path) -> subprocess.Popen[str]:
    variables = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    overlay = str(KUBERNETES / "overlays" / "production")
    return subprocess.Popen(
        [str(ROLLOUT), overlay],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("succeeded", "secret", "code", "last"),
    [(1, 0, 0, "rollout status"), (0, 0, 1, "--replicas=1"), (1, 1, 1, "get secret")],
)
def test_services_are_rolled_out_after_a_migration_that_succeeded(
    tmp_path: Path, succeeded: int, secret: int, code: int, last: str
) -> None:
    """Over a `kubectl` that writes down what it is asked: the order of the steps, and where they stop."""
    log = pretending(tmp_path, succeeded, secret)
    script = rollout(tmp_path)
    told = script.communicate()[1]
    asked = log.read_text(encoding="utf-8").splitlines()
    assert script.returncode == code, told
    assert last in asked[-1]
    if not secret:
        (stopped, migrated) = (next(n for n, line in enumerate(asked) if word in line) for word in ("=0", "=migration"))
        assert stopped < migrated
    applied = [line.rpartition("promptory/stage=")[2] for line in asked if line.startswith("apply")]
    assert applied == (["foundation"] if secret else ["foundation", "migration", *(["services"] if succeeded else [])])


@pytest.mark.parametrize("refused", ['*"delete job"*', "*stage=migration*"])
def test_the_daemon_is_at_work_again_whatever_is_refused(tmp_path: Path, refused: str) -> None:
    log = pretending(tmp_path, refused=refused)
    script = rollout(tmp_path)
    script.communicate()
    assert script.returncode == 1
    scaled = [line for line in log.read_text(encoding="utf-8").splitlines() if "scale" in line]
    assert [line[-1] for line in scaled] == ["0", "1"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_daemon_is_at_work_again_after_an_interrupt_while_runs_end(tmp_path: Path, sent: signal.Signals) -> None:
    log = pretending(tmp_path, under_way="pod/run")
    script = rollout(tmp_path)
    deadline = time.monotonic() + 30
    while not log.exists() or "get pods" not in log.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(script.pid, sent)
    script.communicate()
    assert script.returncode != 0
    asked = log.read_text(encoding="utf-8").splitlines()
    assert asked[-1].endswith("--replicas=1")
