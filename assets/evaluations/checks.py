"""Asset checks of an evaluation: what a person should look at, none of it a failed run."""

from typing import Any

import dagster as dg

from domain.dataset import Split
from resources.database.repositories import evaluations
from resources.database.session import Database
from resources.evaluation.decide import Contest


def gate_check(contest: Contest) -> dg.AssetCheckResult:
    """A rejection is a warning that says why; the run has done its work. So is a person's hold, while it lasts."""
    decision = contest.decision
    held = "held_by" in decision.comparison
    return dg.AssetCheckResult(
        check_name="gate",
        passed=decision.verdict != "reject" and not held,
        severity=dg.AssetCheckSeverity.WARN,
        description=decision.reason,
        metadata={
            "verdict": decision.verdict,
            "decision_id": decision.id,
            "look": decision.look,
            "held": held,
            **_figures(decision.comparison),
        },
    )


def _figures(recorded: dict[str, Any]) -> dict[str, float]:
    """What the gate went by, as numbers that Dagster plots over time; empty where test was not looked at."""
    found = recorded.get("comparison")
    if found is None:
        return {}
    figures = {name: found[name] for name in ("difference", "low", "high", "p_value")}
    wanted = ("alpha_per_route", "minimum_detectable_effect", "cost_ratio", "latency_ratio")
    figures |= {name: recorded[name] for name in wanted}
    return {name: float(value) for name, value in figures.items() if value is not None}


def regression_check(contest: Contest, database: Database) -> dg.AssetCheckResult:
    """Whether production's test score fell below the interval it had on the task's earlier dataset version."""
    now = contest.test[contest.production.id].record
    with database.session(read_only=True) as session:
        history = evaluations.list_evaluations(
            session, now.task, prompt_version_id=now.prompt_version_id, split=str(Split.TEST), limit=50
        )
    before = next((one for one in history if one.dataset_version_id != now.dataset_version_id), None)
    if before is None:
        sentence, passed = "There is no earlier dataset version to compare with.", True
    else:
        passed = now.score >= before.score_low
        sentence = f"Production scores {now.score:.1%}; on the earlier dataset version it scored {before.score:.1%}"
        sentence += f" (95 % interval from {before.score_low:.1%})."
    return dg.AssetCheckResult(
        check_name="score_regression",
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=sentence,
        metadata={"score": now.score},
    )
