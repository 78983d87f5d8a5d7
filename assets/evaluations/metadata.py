"""What the page of an evaluation shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.presentation.charts import ScoreBar, score_chart
from assets.presentation.tables import dollars, markdown_table, percent, with_interval
from domain.dataset import DatasetVersion
from domain.identity import short_id
from domain.statistics.family import FamilyMember
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.evaluation.decide import Contest
from resources.evaluation.evaluate import Evaluation
from resources.evaluation.problems import calibration_text, calibrations, problem_counts, problem_text
from resources.evaluation.results import ExampleResult

FLIPPED_ROWS = 12


def contest_metadata(contest: Contest, dataset: DatasetVersion) -> dict[str, Any]:
    """Scores with intervals, decision, and examples that changed sides; the calls' cost comes from the resource."""
    decision = contest.decision
    metadata: dict[str, Any] = {
        "verdict": decision.verdict,
        "reason": decision.reason,
        "decision_id": decision.id,
        "dataset_version": dataset.version,
        "dataset_version_id": dataset.id,
        "scores": dg.MetadataValue.md(markdown_table(SCORE_HEADER, _score_rows(contest))),
        "chart": dg.MetadataValue.md(score_chart("Score with 95 % interval", _bars(contest))),
        "reused_answers": contest.effort().reused,
        "rows": sum(one.record.rows for one in contest.all_evaluations()),
        **_problems(contest),
    }
    on_dev = contest.candidates_on_dev()
    if on_dev:
        metadata["candidates_on_dev"] = dg.MetadataValue.md(markdown_table(DEV_HEADER, _dev_rows(contest, on_dev)))
    production = contest.test[contest.production.id]
    metadata["production_score"] = production.record.score
    winner = contest.test.get(contest.winner.id) if contest.winner else None
    if winner is not None:
        metadata["candidate_score"] = winner.record.score
        metadata["p_value"] = decision.comparison.get("comparison", {}).get("p_value", 1.0)
        metadata["flipped_examples"] = dg.MetadataValue.md(_flips(production, winner))
        metadata["by_label"] = dg.MetadataValue.md(_by_label(production, winner))
    return metadata


DEV_HEADER = ["candidate", "gain on dev", "95 % interval", "p (better)", "p (Holm)"]
SCORE_HEADER = [
    "prompt version",
    "split",
    "rows",
    "score (95 %)",
    "problems",
    "cost / 1000 rows",
    "latency",
]


def _dev_rows(contest: Contest, on_dev: Sequence[FamilyMember]) -> list[list[Any]]:
    return [
        [
            name_of(contest, one.name),
            f"{100 * one.comparison.difference:+.1f}",
            f"{100 * one.comparison.low:+.1f} to {100 * one.comparison.high:+.1f}",
            f"{one.comparison.p_value:.2g}",
            f"{one.adjusted_p_value:.2g}",
        ]
        for one in on_dev
    ]


def _score_rows(contest: Contest) -> list[list[Any]]:
    named = [(name_of(contest, key), one) for key, one in (*contest.test.items(), *contest.dev.items())]
    named += [("random demonstrations", one) for one in contest.references]
    return [_score_row(name, one) for name, one in named]


def _score_row(name: str, one: Evaluation) -> list[Any]:
    record = one.record
    score = with_interval(record.score, record.score_low, record.score_high)
    per_thousand = f"${dollars(record.summary['cost_nano_usd']) / record.rows * 1000:.4f}"
    latency = f"{record.summary['latency_p50_s'] * 1000:.1f} ms"
    problems = problem_text(record.summary)
    return [name, record.split, record.rows, score, problems, per_thousand, latency]


def name_of(contest: Contest, prompt_version_id: str) -> str:
    """`production v1 (4fd1…)`, `candidate v3 (…)` or just the version."""
    roles: list[tuple[str, PromptVersionRecord | None]] = [
        ("production", contest.production),
        ("candidate", contest.winner),
    ]
    for role, record in roles:
        if record is not None and record.id == prompt_version_id:
            return f"{role} v{record.version} ({short_id(record.id)})"
    return short_id(prompt_version_id)


def _bars(contest: Contest) -> list[ScoreBar]:
    winner = contest.winner.id if contest.winner else None
    bars = [
        ScoreBar(name_of(contest, key), one.record.score, one.record.score_low, one.record.score_high, key == winner)
        for key, one in contest.test.items()
    ]
    for number, one in enumerate(contest.references, start=1):
        record = one.record
        bars.append(ScoreBar(f"random demonstrations {number}", record.score, record.score_low, record.score_high))
    return bars


def _problems(contest: Contest) -> dict[str, Any]:
    summaries = [one.record.summary for one in contest.all_evaluations()]
    told: dict[str, Any] = {f"{kind}_rows": count for kind, count in problem_counts(summaries).items()}
    for name, found in calibrations(summaries).items():
        told[f"{name}_agreement"] = dg.MetadataValue.md(_confusion(name, found))
    return told


def _confusion(name: str, found: dict[str, Any]) -> str:
    """People's grades against the judge's."""
    grades = found.get("grades", [])
    rows = [[f"people: {grade}", *counts] for grade, counts in zip(grades, found.get("confusion", []), strict=True)]
    header = ["answers", *(f"judge: {grade}" for grade in grades)]
    told = calibration_text(name, found) if found["warning"] is None else found["warning"]
    return f"{told}\n\n{markdown_table(header, rows)}" if rows else told


def _flips(production: Evaluation, winner: Evaluation) -> str:
    pairs = zip(production.examples, winner.examples, strict=True)
    rows = [
        [_change(before, after), *before.inputs.values(), before.expected, before.answer, after.answer]
        for before, after in pairs
        if before.score != after.score
    ]
    if not rows:
        return "No example changed sides."
    fields = list(production.examples[0].inputs)
    return markdown_table(["change", *fields, "expected", "production", "candidate"], rows[:FLIPPED_ROWS])


def _change(before: ExampleResult, after: ExampleResult) -> str:
    if before.score is None or after.score is None:
        return "not comparable"
    return "better" if after.score > before.score else "worse"


def _by_label(production: Evaluation, winner: Evaluation) -> str:
    before, after = production.record.summary["by_label"], winner.record.summary["by_label"]
    rows = [
        [label, int(before[label]["rows"]), percent(before[label]["score"]), percent(after[label]["score"])]
        for label in before
        if label in after
    ]
    return markdown_table(["expected label", "rows", "production", "candidate"], rows)
