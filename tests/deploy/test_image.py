"""The Dockerfile and the rollout script: no image can be built here, but what they rest on can be looked at."""

from __future__ import annotations

import os
import re
import subprocess
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
esac
"""


@pytest.mark.parametrize(
    ("succeeded", "secret", "code", "last"),
    [(1, 0, 0, "rollout status"), (0, 0, 1, "--replicas=1"), (1, 1, 1, "get secret")],
)
def test_services_are_rolled_out_after_a_migration_that_succeeded(
    tmp_path: Path, succeeded: int, secret: int, code: int, last: str
) -> None:
    """Over a `kubectl` that writes down what it is asked: the order of the steps, and where they stop."""
    log = tmp_path / "log"
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(PRETENDING.format(log=log, succeeded=succeeded, secret=secret), encoding="utf-8")
    kubectl.chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    overlay = str(KUBERNETES / "overlays" / "production")
    done = subprocess.run([str(ROLLOUT), overlay], env=variables, capture_output=True, text=True, check=False)
    asked = log.read_text(encoding="utf-8").splitlines()
    assert done.returncode == code, done.stderr
    assert last in asked[-1]
    if not secret:
        (stopped, migrated) = (next(n for n, line in enumerate(asked) if word in line) for word in ("=0", "=migration"))
        assert stopped < migrated
    applied = [line.rpartition("promptory/stage=")[2] for line in asked if line.startswith("apply")]
    assert applied == (["foundation"] if secret else ["foundation", "migration", *(["services"] if succeeded else [])])
