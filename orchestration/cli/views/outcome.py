"""A gate decision with the scores it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text
from sqlalchemy.orm import Session

from domain.dataset import DatasetVersion
from domain.statistics.intervals import Interval
from orchestration.cli.figures import interval, named, percent, score_values
from orchestration.cli.screen import table
from resources.compression.run import COMPRESS
from resources.database.repositories import (
    aliases,
    dataset_versions,
    evaluations,
    gate_decisions,
    optimization_runs,
    prompt_versions,
)
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.repositories.optimization_runs import OptimizationRunRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.problems import calibrations, problem_counts, problem_text
from resources.evaluation.promote import PRODUCTION
from resources.evaluation.stored_scores import mean_over_draws
from resources.storage.location import path_at

COLOURS = {"promote": "green", "reject": "yellow", "keep": "cyan"}


@dataclass(frozen=True, slots=True)
class Arm:
    """One prompt version of a comparison; `test` is None where it was not shown the sealed split."""

    record: PromptVersionRecord
    dev: EvaluationRecord | None
    test: EvaluationRecord | None

    def values(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": self.record.version,
            "id": self.record.id,
            "dev": score_values(self.dev),
            "test": score_values(self.test),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decision.

    Attributes:
        baseline: what was in production when it was made.
        candidate: the best on dev; the baseline itself where there was no other.
        optimization: the newest finished run on this dataset version.
        random_draws: prompts with random demonstrations, on test.
        random_mean: their mean score with its interval over the rows.
        in_production: where the alias points now.
    """

    decision: GateDecisionRecord
    dataset: DatasetVersion
    baseline: Arm
    candidate: Arm
    optimization: OptimizationRunRecord | None
    random_draws: tuple[EvaluationRecord, ...]
    random_mean: Interval | None
    in_production: PromptVersionRecord | None

    @property
    def p_value(self) -> float | None:
        """One-sided, of "the candidate is better"; None where no test was made."""
        return self.decision.comparison.get("comparison", {}).get("p_value")

    def values(self) -> dict[str, Any]:
        """For JSON."""
        draws, run = self.random_mean, self.optimization
        return {
            "dataset_version": self.dataset.version,
            "dataset_version_id": self.dataset.id,
            "baseline": self.baseline.values(),
            "random_demonstrations": {
                "draws": [score_values(one) for one in self.random_draws],
                "mean": {"score": draws.mean, "low": draws.low, "high": draws.high, "rows": draws.n} if draws else None,
            },
            "optimized": self.candidate.values(),
            "optimization_run": {"id": run.id, "stop_reason": run.stop_reason, "dev_score": run.dev_score}
            if run
            else None,
            "p_value": self.p_value,
            "calibration": calibrations(arm.dev.summary for arm in (self.baseline, self.candidate) if arm.dev),
            "decision": {
                "id": self.decision.id,
                "verdict": self.decision.verdict,
                "reason": self.decision.reason,
                "look": self.decision.look,
                "comparison": self.decision.comparison,
            },
            "production": {"version": self.in_production.version, "id": self.in_production.id}
            if self.in_production
            else None,
        }

    def show(self, console: Console) -> None:
        """Scores on test, then the decision with its reason."""
        columns = ["on the sealed test split", "prompt version", "rows", "score", "95 % interval", "problems"]
        console.print(table("Scores", columns, self._rows(), right=columns[2:5]))
        if self.optimization is not None and self.optimization.stop_reason:
            console.print(Text.assemble(("The optimization was cut short: ", "yellow"), self.optimization.stop_reason))
        for found in calibrations(arm.dev.summary for arm in (self.baseline, self.candidate) if arm.dev).values():
            if found["warning"]:
                console.print(Text(found["warning"], style="yellow"))
        verdict = self.decision.verdict
        p_value = "" if self.p_value is None else f" (p = {self.p_value:.2g})"
        console.print(Text.assemble("Gate: ", (verdict, f"bold {COLOURS.get(verdict, 'white')}"), p_value))
        console.print(f"  {self.decision.reason}", markup=False)
        if self.in_production is not None:
            console.print(f"In production: {named(self.in_production)}")

    def _rows(self) -> list[list[object]]:
        rows = [_row("baseline", self.baseline)]
        if self.random_mean is not None:
            draws = f"mean of {len(self.random_draws)} draws"
            problems = problem_text({"problems": problem_counts(one.summary for one in self.random_draws)})
            rows.append(["random demonstrations", draws, self.random_mean.n, *_figures(self.random_mean), problems])
        if self.candidate.record.id != self.baseline.record.id:
            rows.append(_row("optimised", self.candidate))
        return rows


def read_outcome(database: Database, storage_root: str, task: str, decision_id: str) -> Outcome:
    """The recorded decision and what it rests on.

    Raises:
        NotFoundError: no such decision, or the rows behind it are gone.
    """
    with database.session(read_only=True) as session:
        decision = gate_decisions.get(session, decision_id)
        run = _optimization(session, decision)
        draws = _random_draws(session, decision, run)
        alias = aliases.find(session, task, PRODUCTION)
        return Outcome(
            decision=decision,
            dataset=dataset_versions.get(session, task, decision.dataset_version_id),
            baseline=_arm(session, decision, decision.production_id),
            candidate=_arm(session, decision, decision.candidate_id),
            optimization=run,
            random_draws=draws,
            random_mean=mean_over_draws(path_at(storage_root), draws),
            in_production=prompt_versions.find(session, task, alias.prompt_version_id) if alias else None,
        )


def _arm(session: Session, decision: GateDecisionRecord, version_id: str) -> Arm:
    return Arm(
        prompt_versions.get(session, decision.task, version_id),
        _evaluation(session, decision, version_id, "dev"),
        _evaluation(session, decision, version_id, "test"),
    )


def _optimization(session: Session, decision: GateDecisionRecord) -> OptimizationRunRecord | None:
    runs = optimization_runs.list_optimization_runs(session, decision.task, status="finished")
    searched = (run for run in runs if run.optimizer.get("kind") != COMPRESS)
    return next((run for run in searched if run.dataset_version_id == decision.dataset_version_id), None)


def _random_draws(
    session: Session, decision: GateDecisionRecord, run: OptimizationRunRecord | None
) -> tuple[EvaluationRecord, ...]:
    ids = run.reference_prompt_version_ids if run else ()
    found = [_evaluation(session, decision, version_id, "test") for version_id in ids]
    return tuple(record for record in found if record is not None)


def _evaluation(session: Session, decision: GateDecisionRecord, version_id: str, split: str) -> EvaluationRecord | None:
    return evaluations.latest(
        session,
        decision.task,
        prompt_version_id=version_id,
        dataset_version_id=decision.dataset_version_id,
        split=split,
    )


def _row(name: str, arm: Arm) -> list[object]:
    if arm.test is None:
        return [name, named(arm.record), "–", "not shown test", "", ""]
    return [
        name,
        named(arm.record),
        arm.test.rows,
        percent(arm.test.score),
        interval(arm.test.score_low, arm.test.score_high),
        problem_text(arm.test.summary),
    ]


def _figures(found: Interval) -> list[object]:
    return [percent(found.mean), interval(found.low, found.high)]
