"""The resource: the core's settings as Dagster config, keys out of sight, the cost of calls in the metadata."""

import json
import threading
from decimal import Decimal
from typing import Any, get_args

import dagster as dg
import pytest
from pydantic import BaseModel

from domain.contracts import ChoiceContract
from domain.errors import ConfigurationError
from domain.prompt import PromptStep
from domain.rendering import render_step
from resources.database.repositories.spending import spend
from resources.database.session import open_database
from resources.derived_config import derived_config
from resources.llm import CallContext, CoreSettings, Request
from resources.llm.settings import EndpointSettings
from resources.llm_resource import LLMResource

CORE_THREAD = "promptory-llm"
SECRET = "sk-very-secret-20817"
STEP = PromptStep(
    system_prompt="",
    output_prompt="Message: {{ message }}",
    output=ChoiceContract.model_validate({"choices": {"billing": "charges, a card", "delivery": "parcels, couriers"}}),
)


def resource(tmp_path, **changes: Any) -> Any:
    return LLMResource(state="memory", ledger=f"sqlite:///{tmp_path}/ledger.db", **changes)


def request(text: str) -> Request:
    return Request(model="offline/nearest", messages=render_step(STEP, {"message": text}), max_output_tokens=8)


def nested(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := nested(part))), None)


def bounds(metadata: list[Any]) -> set[str]:
    return {repr(one) for one in metadata if "Validator" not in type(one).__name__}


def compare(config: Any, settings: type[BaseModel]) -> int:
    """How many fields were compared."""
    known = {name: field for name, field in config.model_fields.items() if not name.startswith("_")}
    assert list(known) == list(settings.model_fields)
    compared = 0
    for name, wanted in settings.model_fields.items():
        field = known[name]
        assert field.description, f"{settings.__name__}.{name} is not described"
        assert field.description == wanted.description
        assert field.is_required() == wanted.is_required()
        exact = "Decimal" in repr(wanted.annotation)
        assert exact or bounds(field.metadata) == bounds(wanted.metadata), name
        inner = nested(wanted.annotation)
        if inner is not None:
            compared += compare(nested(field.annotation), inner)
        default, theirs = (one.get_default(call_default_factory=True) for one in (field, wanted))
        assert (dict(default) if isinstance(theirs, BaseModel) else default) == (
            theirs.model_dump() if isinstance(theirs, BaseModel) else theirs
        )
        compared += 1
    return compared


def test_resource_and_settings_say_the_same():
    assert compare(LLMResource, CoreSettings) > 50


def test_every_knob_is_in_the_schema_that_people_see(tmp_path):
    shape: Any = resource(tmp_path).get_resource_definition().config_schema.config_type
    assert set(shape.fields) == set(CoreSettings.model_fields)
    assert shape.fields["max_wait_s"].description == CoreSettings.model_fields["max_wait_s"].description
    assert shape.fields["max_wait_s"].default_value == 10.0
    assert set(shape.fields["breaker"].config_type.fields) == {
        "consecutive_faults",
        "open_s",
        "successes_to_close",
        "error_rate",
        "error_rate_window_s",
        "error_rate_min_calls",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_wait_s": -1},
        {"guards": {}},
        {"cache": {"ttl": 3}},
        {"retry": {"max_attempts": 4}},
        {"prices": {"a/b": {"input_per_million": "-1", "output_per_million": "1"}}},
        {"budgets": {"day": "much"}},
        {"endpoints": {"openai": {"api_kee": SECRET}}},
    ],
)
def test_what_the_core_would_refuse_is_refused_when_the_resource_is_made(tmp_path, wrong):
    with pytest.raises(ValueError) as caught:
        resource(tmp_path, **wrong)
    assert SECRET not in str(caught.value)


def test_settings_arrive_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY", SECRET)
    made = resource(
        tmp_path,
        endpoints={"openai": {"base_url": "https://host/v1", "api_key": dg.EnvVar("A_KEY"), "options": {"a": [1]}}},
        budgets={"day": 5},
        limits={"a/b": {"requests_per_minute": 7}},
        prices={
            "a/b": {
                "input_per_million": 0.15,
                "output_per_million": "0.60",
                "long_context": {"above_input_tokens": 9, "input_per_million": 1, "output_per_million": 2},
            }
        },
        fallback={"models": {"a/b": ["a/c"]}, "canned": {"x": "y"}},
        breaker={"error_rate": 0.5},
        require_budget=True,
    )
    got = made.settings({"run:x": Decimal("0.1")})

    assert got.budgets == {"day": Decimal(5), "run:x": Decimal("0.1")}
    assert got.endpoints["openai"].api_key.get_secret_value() == SECRET
    assert got.endpoints["openai"].options == {"a": [1]}
    assert got.limits["a/b"].requests_per_minute == 7
    assert got.prices["a/b"].input_per_million == Decimal("0.15")
    assert got.prices["a/b"].long_context.above_input_tokens == 9
    assert (got.breaker.error_rate, got.require_budget) == (0.5, True)
    assert got.fallback.models == {"a/b": ["a/c"]}
    plain = CoreSettings(state="memory", ledger=f"sqlite:///{tmp_path}/ledger.db")
    assert resource(tmp_path).settings() == plain


@pytest.mark.parametrize("secret", [{"api_key": SECRET}, {"headers": {"x-key": SECRET}}])
def test_a_key_given_as_text_is_refused_and_not_repeated(tmp_path, secret):
    with pytest.raises(ConfigurationError) as caught:
        dg.Definitions(resources={"llm": resource(tmp_path, endpoints={"openai": secret})}).get_repository_def()

    assert "endpoints.openai" in str(caught.value.field)
    assert SECRET not in str(caught.value)


def test_keys_are_in_no_config_and_no_repr(tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY", SECRET)
    seen: dict[str, Any] = {}

    @dg.asset
    def look(llm: LLMResource) -> None:
        seen["repr"] = repr(llm) + str(llm)
        seen["key"] = llm.settings().endpoints["openai"].api_key.get_secret_value()
        seen["header"] = llm.settings().endpoints["openai"].headers["x"].get_secret_value()

    endpoint = {"api_key": dg.EnvVar("A_KEY"), "headers": {"x": dg.EnvVar("A_KEY")}}
    made = resource(tmp_path, endpoints={"openai": endpoint})
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([look], resources={"llm": made}, instance=instance)
        events = "".join(str(one) for one in instance.all_logs(result.run_id))
        run = str(instance.get_run_by_id(result.run_id))

    assert (seen["key"], seen["header"]) == (SECRET, SECRET)
    schema = json.dumps(made.get_resource_definition().config_schema.default_value)
    assert "A_KEY" in schema
    assert SECRET not in schema + seen["repr"] + repr(made) + events + run
    assert derived_config(EndpointSettings).model_fields["api_key"].repr is False


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    found = result.asset_materializations_for_node(name)[0].metadata
    return {key: value.value for key, value in found.items() if key != "path"}


def test_an_asset_s_calls_are_in_its_metadata_beside_the_author_s(tmp_path):
    @dg.asset
    def answers(context: dg.AssetExecutionContext, llm: LLMResource) -> dg.Output[int]:
        with llm.client(context) as client:
            first = client.complete(request("Where is my parcel?"), CallContext(scopes=("day",)))
            again = client.complete(request("Where is my parcel?"), CallContext(scopes=("day",)))
        with llm.client(context) as client:
            broke = client.complete(request("My card was charged"), CallContext(scopes=("task:poor",)))
        context.add_output_metadata({"first": first.text})
        seen.update(cost=first.cost_nano_usd, tokens=first.usage.input_tokens + first.usage.output_tokens)
        assert (again.cached, broke.status) == (True, "fallback")
        return dg.Output(3, metadata={"rows": 3})

    seen: dict[str, int] = {}
    result = dg.materialize([answers], resources={"llm": resource(tmp_path, budgets={"task:poor": 0})})

    metadata = metadata_of(result, "answers")
    assert metadata.pop("cost_usd") == pytest.approx(seen["cost"] / 1e9)
    assert metadata == {
        "rows": 3,
        "first": "delivery",
        "tokens": seen["tokens"],
        "calls": 3,
        "cached_calls": 1,
        "cache_hit_rate": pytest.approx(1 / 3),
        "fallbacks": {"budget_exhausted": 1},
        "breaker_openings": 0,
    }


def test_an_asynchronous_asset_and_one_that_returns_its_result(tmp_path):
    @dg.asset
    async def answers(context: dg.AssetExecutionContext, llm: LLMResource) -> dg.MaterializeResult:
        async with llm.aclient(context) as client:
            await client.complete(request("Where is my parcel?"))
            await client.set_breaker("offline/nearest", "open")
        return dg.MaterializeResult(metadata={"rows": 1})

    result = dg.materialize([answers], resources={"llm": resource(tmp_path)})

    metadata = metadata_of(result, "answers")
    assert (metadata["rows"], metadata["calls"], metadata["breaker_openings"]) == (1, 1, 1)


def test_an_op_has_them_on_its_output(tmp_path):
    @dg.op
    def ask(context: dg.OpExecutionContext, llm: LLMResource) -> str:
        with llm.client(context) as client:
            return client.complete(request("Where is my parcel?")).text

    @dg.job
    def asking():
        ask()

    result = asking.execute_in_process(resources={"llm": resource(tmp_path)})

    outputs = [event.event_specific_data for event in result.all_events if event.is_successful_output]
    assert result.output_for_node("ask") == "delivery"
    assert outputs[0].metadata["calls"].value == 1  # pyright: ignore


def test_a_sensor_can_ask_too(tmp_path):
    @dg.sensor(job_name="none")
    def look(context: dg.SensorEvaluationContext, llm: LLMResource):
        with llm.client(context) as client:
            return dg.SkipReason(client.complete(request("Where is my parcel?")).text)

    with dg.build_sensor_context(resources={"llm": resource(tmp_path)}) as context:
        assert look(context).skip_message == "delivery"


def test_a_failing_asset_closes_the_core_and_keeps_its_error(tmp_path):
    @dg.asset
    def answers(context: dg.AssetExecutionContext, llm: LLMResource) -> None:
        with llm.client(context) as client:
            client.complete(request("Where is my parcel?"), CallContext(purpose="asset"))
            assert CORE_THREAD in threads()
            raise ZeroDivisionError

    made = resource(tmp_path)
    with pytest.raises(ZeroDivisionError):
        dg.materialize([answers], resources={"llm": made})

    assert CORE_THREAD not in threads()
    database = open_database(made.ledger)
    with database.session(read_only=True) as session:
        assert [(line.key, line.attempts) for line in spend(session, "purpose")] == [("asset", 1)]
    database.dispose()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_an_output_yielded_inside_the_block_is_kept(tmp_path):
    @dg.asset
    def answers(context: dg.AssetExecutionContext, llm: LLMResource):
        with llm.client(context) as client:
            client.complete(request("Where is my parcel?"))
            yield dg.Output(1, metadata={"rows": 1})

    result = dg.materialize([answers], resources={"llm": resource(tmp_path)})

    assert result.success
    assert metadata_of(result, "answers") == {"rows": 1}
