"""What a job came to, whatever came back of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.batch.provider_jobs import JobState, ProviderCounts, RowReserve, call_id_of, pack, unpack
from domain.contracts import TextContract
from domain.errors import FaultClass, ProviderError
from domain.pricing import ModelPrice, Usage
from resources.batch_inference.provider_batches.settling import JobLineage, settle_lines
from resources.database.repositories.provider_jobs import ProviderJob
from resources.llm.batch_api import JobStatus, LineResult
from resources.llm.ledger_rows import ATTEMPT_COLUMNS
from resources.llm.provider_batches import price_record
from resources.llm.types import ProviderAnswer

BEGAN = datetime(2026, 11, 25, 12, tzinfo=UTC)
PRICE = ModelPrice.model_validate({"input_per_million": "1", "output_per_million": "2"})
RESERVE = 10 * 1000 + 5 * 2000
LINEAGE = JobLineage("prompt", "main", None)
KINDS = ("answered", "overrun", "uncounted", "malformed", "refused", "server", "untried", "missing")


def job_of(rows: int) -> ProviderJob:
    reserves = [RowReserve(row, RESERVE, 10, 5) for row in range(1, rows + 1)]
    return ProviderJob(
        id="j" * 32, batch_id="b", task="t", chunk=0, round=0, model="openai/m", state=JobState.ENDED.value,
        file=None, provider_id="p", provider_state=None, counts=None, problem=None, rows=rows, requests=pack(reserves),
        scopes=["org"], price=price_record(PRICE), reserve_nano_usd=rows * RESERVE, direct_nano_usd=2 * rows * RESERVE,
        cost_nano_usd=None, lost_nano_usd=None, overrun=False, created_at=BEGAN, changed_at=BEGAN, seen_at=None,
    )  # fmt: skip


def result_of(kind: str, custom_id: str) -> LineResult | None:
    if kind == "missing":
        return None
    if kind == "untried":
        return LineResult(custom_id, untried=True)
    faults = {"malformed": FaultClass.MALFORMED, "refused": FaultClass.INVALID_REQUEST, "server": FaultClass.SERVER}
    if kind in faults:
        return LineResult(custom_id, error=ProviderError("no", fault=faults[kind]))
    tokens = 50 if kind == "overrun" else 3
    usage = Usage(input_tokens=10, output_tokens=tokens)
    return LineResult(custom_id, answer=ProviderAnswer("text", usage, usage_estimated=kind == "uncounted"))


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=30), st.booleans(), st.randoms(use_true_random=False))
def test_every_request_is_booked_once_and_for_what_is_known_of_it(kinds: list[str], cut_short: bool, chance: Any):
    job = job_of(len(kinds))
    ids = [call_id_of(job.id, row, BEGAN.timestamp()) for row in range(1, len(kinds) + 1)]
    results = [one for kind, own in zip(kinds, ids, strict=True) if (one := result_of(kind, own)) is not None]
    chance.shuffle(results)
    results += results[:2]  # told twice, booked once
    state = "expired" if cut_short else "completed"
    status = JobStatus("p", state, ended=True, cut_short=cut_short, counts=ProviderCounts(len(kinds), len(kinds), 0))
    settled = settle_lines(job, status, results, TextContract(), LINEAGE, BEGAN.timestamp() + 100)

    assert settled == settle_lines(job, status, results, TextContract(), LINEAGE, BEGAN.timestamp() + 100)
    answered = sum(one in ("answered", "overrun", "uncounted") for one in kinds)
    unknown_missing = 0 if cut_short or answered >= len(kinds) else kinds.count("missing")
    lost = kinds.count("uncounted") + kinds.count("malformed") + unknown_missing
    assert settled.lost_nano_usd == lost * RESERVE
    assert settled.cost_nano_usd == kinds.count("answered") * 16_000 + kinds.count("overrun") * 110_000
    assert settled.overrun == ("overrun" in kinds)
    assert settled.open_lost == (unknown_missing > 0)
    booked = [row[ATTEMPT_COLUMNS.index("attempt_id")] for row in settled.attempts]
    silent = kinds.count("untried") + kinds.count("missing") - unknown_missing
    assert len(booked) == len(set(booked)) == len(settled.calls) == len(kinds) - silent
    costs = sum(row[ATTEMPT_COLUMNS.index("cost_nano_usd")] for row in settled.attempts)
    assert costs == settled.cost_nano_usd + settled.lost_nano_usd
    with_answer = {row for row, _ in settled.outcomes}
    again = {"server", "untried", "missing"}
    assert with_answer == {row for row, kind in enumerate(kinds, start=1) if kind not in again}


@given(st.lists(st.tuples(*[st.integers(0, 2**50)] * 4), max_size=20))
def test_rows_of_a_job_are_read_back(rows: list[tuple[int, int, int, int]]):
    reserves = [RowReserve(*row) for row in rows]
    assert unpack(pack(reserves)) == reserves
