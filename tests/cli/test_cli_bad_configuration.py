"""Settings that cannot be used: one clear error at start, naming field and mend, by each way in; and keys nowhere."""

import json
import logging
import os
import shutil
from pathlib import Path

import dagster as dg
import pytest
from cli.conftest import Workshop
from servers.openai_server import Fault, OpenAIServer

from domain.errors import ConfigurationError, PromptoryError, StateUnavailableError
from orchestration.environments import Environment
from orchestration.task_resources import build_task_resources
from resources.llm_resource import LLMResource

KEY = "sk-canary-61177-do-not-show"
CALL = ("call", "tickets", "--input", "text=Where is it?")
EVERYWHERE = "openai/…, vertex/…"


@pytest.fixture(scope="module")
def ingested_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that knows the task, with two versions of its prompt: `offline/nearest` and `mine/m`; to be copied."""
    folder = tmp_path_factory.mktemp("ingested")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTORY_HOME", str(folder / "home"))
        patch.setenv("PROMPTORY_CATALOG", str(folder / "catalog"))
        for name in ("DAGSTER_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
            patch.delenv(name, raising=False)
        patch.chdir(folder)
        made = Workshop(folder)
        made.tasks.mkdir(parents=True)
        made.write_task()
        assert made.run("ingest", "tickets").code == 0
        configure(made, "endpoints: {mine: {provider: openai}}")
        made.write_task(on_mine)
        assert made.run("ingest", "tickets").code == 0
    return folder / "home"


@pytest.fixture
def stored(workshop: Workshop, ingested_home: Path) -> Workshop:
    shutil.copytree(ingested_home, workshop.root / "home")
    workshop.write_task()
    return workshop


def configure(workshop: Workshop, text: str) -> None:
    (workshop.root / "promptory.yaml").write_text(text, encoding="utf-8")


def on_mine(task: str) -> str:
    return task.replace("offline/nearest", "mine/m")


def open_resource() -> None:
    """As an asset does it."""
    with build_task_resources(Environment.read())["llm"].client():
        raise AssertionError("the core opened")


@pytest.mark.parametrize(
    ("text", "field", "mend"),
    [
        ("budgets: {day: -1}", "budgets.day", "0 or more"),
        ("budgets: {dya month: 1}", "budgets.dya month", "org, day, month"),
        ("limits: {opnai/m: {requests_per_minute: 3}}", "limits.opnai/m", EVERYWHERE),
        ("limits: {gpt-4o: {requests_per_minute: 3}}", "limits.gpt-4o", EVERYWHERE),
        (
            "limits: {openai/m: {tokens_per_minute: -3}}",
            "limits.openai/m.tokens_per_minute",
            "tokens in any 60 seconds",
        ),
        ("prices: {opnai/m: {input_per_million: 3, output_per_million: 1}}", "prices.opnai/m", EVERYWHERE),
        ("fallback: {models: {offline/nearest: [opnai/m]}}", "fallback.models.offline/nearest", EVERYWHERE),
        ("endpoints: {vllm: {base_url: 'http://x/v1'}}", "endpoints.vllm.provider", "litellm, offline, openai"),
        ("endpoints: {a b: {provider: openai}}", "endpoints.a b", "lower-case"),
        ("time_zone: Europe/Berlni", "time_zone", "Europe/Berlin"),
        ("lease_s: 0.1", "lease_s", "three times"),
        ("retry: {atempts: 2}", "retry.atempts", "max_attempts"),
    ],
)
def test_a_setting_that_cannot_be_used(stored: Workshop, text: str, field: str, mend: str) -> None:
    configure(stored, text)
    for arguments in (("health",), CALL):
        outcome = stored.run(*arguments)
        assert outcome.code == 2
        assert outcome.err.count("Error:") == 1
        assert f"promptory.yaml [{field}]: " in outcome.err
        assert mend in outcome.err.partition("Mend: ")[2]
    with pytest.raises(ConfigurationError) as caught:
        build_task_resources(Environment.read())  # as definitions do it when they load
    assert (caught.value.file, caught.value.field) == ("promptory.yaml", field)
    assert mend in (caught.value.mend or "")


@pytest.mark.parametrize(
    ("text", "field", "mend"),
    [
        ("endpoints: {vertex: {}}", "endpoints.vertex.location", "set location"),
        ("endpoints: {v: {provider: openai, options: {stram: 1}}}", "endpoints.v.options.stram", "stream"),
        (
            "endpoints: {v: {provider: openai, options: {tokenizer: /no}}}",
            "endpoints.v.options.tokenizer",
            "save_pretrained",
        ),
        ("endpoints: {v: {provider: openai, api_key: '${NO_SUCH}'}}", "endpoints.v.api_key", "export NO_SUCH"),
    ],
)
def test_what_only_the_machine_that_calls_can_know(stored: Workshop, text: str, field: str, mend: str) -> None:
    configure(stored, text)
    for arguments in (("health",), CALL):
        outcome = stored.run(*arguments)
        assert (outcome.code, outcome.err.count("Error:")) == (2, 1)
        assert f"[{field}]: " in outcome.err
        assert mend in outcome.err.partition("Mend: ")[2]
    with pytest.raises(ConfigurationError) as caught:
        open_resource()
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("variable", "url", "error", "says"),
    [
        ("STATE", f"redis://:{KEY}@127.0.0.1:1/0", StateUnavailableError, "state store at 127.0.0.1:1 cannot be used"),
        ("STATE", "redis://127.0.0.1:x/0", ConfigurationError, "no usable host and port"),
        ("STATE", f"reddis://:{KEY}@h/0", ConfigurationError, "'reddis' URL names no state store"),
        ("DATABASE", f"postgresql+psycopg://me:{KEY}@127.0.0.1:1/d", PromptoryError, "cannot be reached"),
        ("DATABASE", f"mysql://me:{KEY}@h/d", ConfigurationError, "not supported"),
    ],
)
def test_servers_that_are_not_there(
    stored: Workshop, monkeypatch: pytest.MonkeyPatch, variable: str, url: str, error: type[PromptoryError], says: str
) -> None:
    monkeypatch.setenv(f"PROMPTORY_{variable}_URL", url)
    for arguments in (("health",), CALL):
        outcome = stored.run(*arguments)
        told = " ".join((outcome.err + outcome.out).split())
        if arguments == ("health",) and error is StateUnavailableError:
            assert (outcome.code, "degraded" in told) == (1, True)  # what is away is what `health` is asked for
        else:
            assert (outcome.code, outcome.err.count("Error:")) == (2, 1)
        assert says in told
        assert "Mend: " in told
        assert KEY not in told
    with pytest.raises(error) as caught:
        open_resource()
    assert says in str(caught.value)
    assert caught.value.mend
    assert KEY not in str(caught.value)


def on_a_server(workshop: Workshop, server: OpenAIServer, text: str = "") -> None:
    workshop.write_task(on_mine)
    endpoint = {"provider": "openai", "base_url": server.base_url, "api_key": "${MY_KEY}"}
    configure(workshop, f"endpoints: {json.dumps({'mine': endpoint})}\n{text}")


def test_a_model_without_a_price_under_a_cap(stored: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "test-key")
    with OpenAIServer() as server:
        on_a_server(stored, server, "budgets: {day: 1}")
        outcome = stored.run(*CALL, "--version", "2")
        assert outcome.code == 2
        assert "[prices.mine/m]: " in outcome.err
        assert "input_per_million" in outcome.err.partition("Mend: ")[2]
    assert server.bodies == []


def test_a_wrong_key_shows_with_the_first_call_and_stands_nowhere(
    stored: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("PROMPTORY_HOME", str(stored.root / "home"))
    caplog.set_level(logging.DEBUG)
    quoting = {"message": f"wrong key {KEY}", "code": "invalid_api_key"}
    shown: list[str] = []
    with OpenAIServer(api_key=None, faults=lambda _index, _body: Fault(status=401, error=quoting)) as server:
        on_a_server(stored, server, "prices: {mine/m: {input_per_million: 1, output_per_million: 1}}")
        for arguments in ((*CALL, "--version", "2"), ("evaluate", "tickets"), ("--verbose", *CALL, "--version", "2")):
            outcome = stored.run(*arguments)
            assert outcome.code == 1
            assert "401" in outcome.err
            assert "endpoints.mine" in outcome.err
            assert "api_key" in outcome.err.partition("Mend: ")[2]
            shown += [outcome.out, outcome.err]
        resource = build_task_resources(Environment.read())["llm"]
        shown += [repr(resource), repr(resource.settings()), json.dumps(resource.settings().model_dump(mode="json"))]
        assert f"Bearer {KEY}" in server.authorizations
    out, err = capfd.readouterr()
    assert KEY not in "".join([*shown, out, err, caplog.text])
    left = [path for path in (stored.root / "home").rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert left == []


def test_an_asset_says_it_in_its_own_run(stored: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("PROMPTORY_STATE_URL", f"redis://:{KEY}@127.0.0.1:1/0")
    configure(stored, "endpoints: {mine: {provider: openai, api_key: '${MY_KEY}'}}")
    resource = build_task_resources(Environment.read())["llm"]

    @dg.asset
    def answers(context: dg.AssetExecutionContext, llm: LLMResource) -> None:
        with llm.client(context):
            pass

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([answers], resources={"llm": resource}, instance=instance, raise_on_error=False)
        events = "".join(str(event) for event in instance.all_logs(result.run_id))
        run = str(instance.get_run_by_id(result.run_id))
    assert not result.success
    assert "state store at 127.0.0.1:1 cannot be used" in events
    assert KEY not in events + run
    assert os.environ["MY_KEY"] == KEY
