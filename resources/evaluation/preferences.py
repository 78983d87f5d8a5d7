"""Which of two prompts' answers a judge prefers, row by row, asked in both orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from upath import UPath

from domain.dataset import Row
from domain.errors import OutputParseError
from domain.evaluators.judge_prompt import comparing_prompt, judged_text, read_preference, row_fields
from domain.evaluators.judge_spec import PairwiseJudgeSpec
from domain.evaluators.row_score import RowScore, ScoreStatus
from domain.identity import canonical_json
from domain.prompt import PromptVersion
from domain.scored_pairs import EvaluatedArm
from resources.evaluation.effort import Effort
from resources.evaluation.judge import Judge, Judged, Progress, Subject
from resources.evaluation.results import ExampleResult
from resources.storage.atomic import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "pairwise"
FOLDER = "comparisons"
WIN, TIE, LOSS = 1.0, 0.5, 0.0
_CANDIDATE_FIRST = {"first": WIN, "second": LOSS, "tie": TIE}
_PRODUCTION_FIRST = {"first": LOSS, "second": WIN, "tie": TIE}


@dataclass(frozen=True, slots=True)
class Side:
    """One prompt and its examples, ordered as those of the other side."""

    prompt: PromptVersion
    examples: Sequence[ExampleResult]


@dataclass(frozen=True, slots=True)
class Preferences:
    """The candidate's preference per row: 1 preferred, 0.5 tie, 0 not preferred, None where the judge failed.

    Attributes:
        swayed: rows on which the judge's verdict changed with the order of the answers; they count as ties.
    """

    candidate: Side
    production: Side
    scores: tuple[RowScore, ...]
    swayed: int
    effort: Effort

    def arms(self) -> tuple[EvaluatedArm, EvaluatedArm]:
        """Candidate and production as the gate takes them; a win of one is a loss of the other."""
        values = [score.value for score in self.scores]
        return (
            _arm(self.candidate, values),
            _arm(self.production, [None if value is None else 1 - value for value in values]),
        )

    def counts(self) -> dict[str, int]:
        """Rows by outcome, for people to read."""
        by_value = Counter(score.value for score in self.scores)
        return {
            "preferred": by_value[WIN],
            "ties": by_value[TIE],
            "not_preferred": by_value[LOSS],
            "judge_errors": by_value[None],
            "swayed_by_order": self.swayed,
        }


async def prefer(
    judge: Judge,
    spec: PairwiseJudgeSpec,
    rows: Sequence[Row],
    candidate: Side,
    production: Side,
    progress: Progress | None = None,
) -> Preferences:
    """The judge's preference on every row, asked with either answer first; where the two differ it is a tie.

    Equal answers tie and unreadable ones lose without the judge.

    Raises:
        UnansweredError, ProviderError: as `Judge.judge`.
    """
    settled: dict[str, RowScore] = {}
    orders: dict[str, tuple[Subject, Subject]] = {}
    for row, ours, theirs in zip(rows, candidate.examples, production.examples, strict=True):
        known = _without_judge(ours, theirs)
        if known is None:
            orders[row.input_id] = _subjects(spec, row, candidate, production, ours, theirs)
        else:
            settled[row.input_id] = known
    subjects = [subject for pair in orders.values() for subject in pair]
    judged = await judge.judge(comparing_prompt(spec), subjects, name=NAME, progress=progress)
    swayed: Counter[bool] = Counter()
    for input_id, pair in orders.items():
        settled[input_id], differs = _verdict(judged, pair)
        swayed[differs] += 1
    scores = tuple(settled[row.input_id] for row in rows)
    return Preferences(candidate, production, scores, swayed[True], judged.effort)


def write_preferences(root: UPath, comparison_id: str, rows: Sequence[Row], found: Preferences) -> str:
    """Store the rows of a comparison as Parquet; gives the path relative to `root`."""
    import pyarrow.parquet as pq

    relative = f"{FOLDER}/{comparison_id}.parquet"
    table = _table(rows, found)
    write_atomically(root / relative, lambda stream: pq.write_table(table, stream, compression="zstd"))
    return relative


def _without_judge(ours: ExampleResult, theirs: ExampleResult) -> RowScore | None:
    if ours.contract_problem is not None or theirs.contract_problem is not None:
        both = ours.contract_problem is not None and theirs.contract_problem is not None
        value = TIE if both else LOSS if ours.contract_problem is not None else WIN
        return RowScore(value, "an answer breaks its output contract", ScoreStatus.UNPARSABLE)
    return RowScore(TIE, "the answers are equal") if ours.answer == theirs.answer else None


def _subjects(
    spec: PairwiseJudgeSpec,
    row: Row,
    candidate: Side,
    production: Side,
    ours: ExampleResult,
    theirs: ExampleResult,
) -> tuple[Subject, Subject]:
    fields = row_fields(spec, row.inputs, row.output)
    new = judged_text(candidate.prompt.steps[-1].output, ours.answer)
    old = judged_text(production.prompt.steps[-1].output, theirs.answer)
    first = Subject(row, {**fields, "first_answer": new, "second_answer": old}, candidate.prompt.id)
    return first, replace(first, fields={**fields, "first_answer": old, "second_answer": new})


def _verdict(judged: Judged, pair: tuple[Subject, Subject]) -> tuple[RowScore, bool]:
    """One row's outcome, and whether it hung on the order of the answers."""
    values: list[float] = []
    reasons: list[str] = []
    records = [record for subject in pair if (record := judged.judgements.get((subject.id, 0))) is not None]
    money: dict[str, Any] = {
        "call_ids": tuple(record.call_id for record in records),
        "cost_nano_usd": sum(record.cost_nano_usd for record in records),
    }
    for subject, meaning in zip(pair, (_CANDIDATE_FIRST, _PRODUCTION_FIRST), strict=True):
        record = judged.judgements.get((subject.id, 0))
        if record is None:
            return RowScore(None, judged.refused[subject.id, 0], ScoreStatus.JUDGE_ERROR, **money), False
        try:
            better, reason = read_preference(record.text)
        except OutputParseError as error:
            return RowScore(None, error.problem, ScoreStatus.JUDGE_ERROR, **money), False
        values.append(meaning[better])
        reasons.append(reason)
    differs = values[0] != values[1]
    return RowScore(TIE if differs else values[0], " | ".join(reasons), **money), differs


def _arm(side: Side, scores: Sequence[float | None]) -> EvaluatedArm:
    return EvaluatedArm(
        scores=tuple(scores),
        costs=tuple(example.cost_nano_usd for example in side.examples),
        latencies=tuple(example.latency_s for example in side.examples),
    )


def _table(rows: Sequence[Row], found: Preferences) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("row_id", "input_id", "inputs", "candidate", "production")),
            ("preference", pa.float64()),
            ("reason", pa.string()),
            ("status", pa.string()),
            ("judge_call_ids", pa.list_(pa.string())),
            ("judge_cost_nano_usd", pa.int64()),
        ]
    )
    sides = zip(rows, found.candidate.examples, found.production.examples, found.scores, strict=True)
    records = [
        {
            "row_id": row.row_id,
            "input_id": row.input_id,
            "inputs": canonical_json(row.inputs),
            "candidate": _storable(ours.answer),
            "production": _storable(theirs.answer),
            "preference": score.value,
            "reason": _storable(score.reason),
            "status": str(score.status),
            "judge_call_ids": list(score.call_ids),
            "judge_cost_nano_usd": score.cost_nano_usd,
        }
        for row, ours, theirs, score in sides
    ]
    return pa.Table.from_pylist(records, schema=schema)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
