"""Chunks through a provider's batch API: handed over, answered once, or refused with a reason."""

from __future__ import annotations

import pytest
from batches.conftest import Floor, label_of, number_in, task_of
from batches.provider_steps import add, charged, jobs_of, run_to_the_end
from servers.openai_batch_server import JobPlan, OpenAIBatchServer

from domain.errors import ConfigurationError
from domain.task import Task
from resources.database.repositories import batches
from resources.llm.endpoints import Endpoints

pytestmark = pytest.mark.filterwarnings("error")


def test_rows_are_handed_over_answered_once_and_at_half_price(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 35)
    first = hall.run(batch.id)
    assert first.state == "waiting", first.reason
    assert first.worker is None
    assert provider.invoice_nano_usd() == 0

    done, seen = run_to_the_end(hall, batch.id)
    rows = hall.results(batch.id)
    assert done.state == "done"
    assert seen.count("waiting") >= 1
    assert [row["value"] for row in rows] == [label_of(number) for number in range(35)]
    assert {row["status"] for row in rows} == {"ok"}
    assert provider.asked_in_jobs() == 35
    assert provider.requests == []
    assert sum(row["cost_nano_usd"] for row in rows) == provider.invoice_nano_usd() == charged(hall).spent_nano_usd
    assert charged(hall).attempts == 35
    assert [job.state for job in jobs_of(hall, batch.id)] == ["closed", "closed"]
    assert not provider.files, "what was uploaded and what came back is removed once it is settled"


def test_bodies_are_those_of_direct_calls(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 3)
    hall.run(batch.id)
    direct = hall.add(hall.folder / "in.csv", wish=None, how="direct", key=None).record
    hall.run(direct.id)
    assert provider.batch_bodies == sorted(provider.requests, key=number_in)


def test_a_refused_job_costs_nothing_and_waits_for_a_person(hall: Floor, provider: OpenAIBatchServer):
    provider.plans = lambda number: JobPlan(end="failed") if number == 0 else JobPlan()
    batch = add(hall, 10)
    paused, _ = run_to_the_end(hall, batch.id)
    assert (paused.state, paused.pause_kind) == ("paused", "refused")
    assert "model_not_found" in (paused.reason or "")
    assert charged(hall).attempts == 0
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    assert provider.requests == []


def test_a_job_that_answers_hardly_any_row_pauses_its_batch(hall: Floor, provider: OpenAIBatchServer):
    provider.plans = lambda _number: JobPlan(statuses=dict.fromkeys(range(60), 400))
    batch = add(hall, 110, retry_rounds=0, chunk_rows=200)
    paused, _ = run_to_the_end(hall, batch.id)
    assert (paused.state, paused.pause_kind) == ("paused", "failures")
    assert "60 of the last 110 rows" in (paused.reason or "")
    assert len(provider.invoice) == 50
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    assert (done.summary or {})["by_status"] == {"ok": 50, "failed": 60, "fallback": 0, "invalid": 0, "rejected": 0}


def test_limits_of_a_job_split_a_chunk(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 20)
    endpoint = {**provider.endpoint, "options": {"batch_requests": 8}}
    hall.run(batch.id, hall.settings(endpoints={"openai": endpoint}))
    assert [len(job.lines) for job in provider.jobs.values()] == [8, 8, 4]
    assert run_to_the_end(hall, batch.id)[0].state == "done"
    assert len(provider.invoice) == 20


def test_rows_go_into_three_jobs_each_however_many_jobs_their_chunk_is(hall: Floor, provider: OpenAIBatchServer):
    """Jobs of 8, 8 and 4 rows; six rows of the first are not answered, two of them by no job they are in."""
    provider.plans = lambda number: JobPlan(end="expired", answered={0: 2, 3: 4, 4: 0}.get(number))
    batch = add(hall, 20, rest="provider")
    endpoint = {**provider.endpoint, "options": {"batch_requests": 8}}
    done, _ = run_to_the_end(hall, batch.id, endpoints={"openai": endpoint})
    assert done.state == "done"
    assert [len(job.lines) for job in provider.jobs.values()] == [8, 8, 4, 6, 2]
    assert len(provider.requests) == 2, "what three jobs did not answer is asked directly"


def test_an_endpoint_without_a_batch_api_is_told_at_once(hall: Floor, provider: OpenAIBatchServer):
    provider.refuse = None
    provider.files_are_missing = True
    batch = add(hall, 5)
    paused = hall.run(batch.id)
    assert (paused.state, paused.pause_kind) == ("paused", "refused")
    assert "no batch API" in (paused.reason or "")
    with pytest.raises(ConfigurationError, match="no batch API"):
        Endpoints({}, None).batch_api("offline/nearest")


def test_a_key_that_is_refused_costs_nothing(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 5)
    wrong = {**provider.endpoint, "api_key": "wrong"}
    paused = hall.run(batch.id, hall.settings(endpoints={"openai": wrong}))
    assert (paused.state, paused.pause_kind) == ("paused", "refused")
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    assert provider.asked_in_jobs() == 5


def two_steps() -> Task:
    prompt = task_of().prompt.model_dump(mode="json")
    (step,) = prompt["steps"]
    asking = {**step, "name": "look", "output": {"kind": "text"}}
    return task_of(prompt={**prompt, "steps": [asking, {**step, "output_prompt": "Seen: {{ look }}"}]})


def test_a_prompt_of_several_steps_is_refused_before_its_rows_are_read(hall: Floor, provider: OpenAIBatchServer):
    hall.promote(two_steps())
    with pytest.raises(ConfigurationError, match=r"crates.*2 steps") as caught:
        add(hall, 10)
    assert (caught.value.field, caught.value.mend) == ("batch.how", "ask row by row: `how: direct`.")
    with hall.database.session(read_only=True) as session:
        assert batches.list_batches(session) == []
    assert provider.log == []


def test_one_that_came_into_production_later_pauses_for_a_person(hall: Floor, provider: OpenAIBatchServer):
    batch = add(hall, 10)
    hall.promote(two_steps())
    paused = hall.run(batch.id)
    assert (paused.state, paused.pause_kind) == ("paused", "refused")
    assert "2 steps" in (paused.reason or "")
    assert provider.log == []
