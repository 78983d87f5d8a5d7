"""Asset checks of an evaluation: what a person should look at, none of it a failed run."""

from typing import Any

import dagster as dg

from domain.dataset import Split
from resources.database.repositories import evaluations
from resources.database.session import Database
from resources.evaluation.decide import Contest
from resources.evaluation.problems import calibration_text, calibrations, problem_counts


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


def not_put_to_gate(sentence: str) -> dg.AssetCheckResult:
    """There was nothing that the gate could have been asked about, which is a fine result too."""
    return dg.AssetCheckResult(
        check_name="gate", passed=True, severity=dg.AssetCheckSeverity.WARN, description=sentence
    )  # fmt: skip


def _figures(recorded: dict[str, Any]) -> dict[str, float]:
    """What the gate went by, as numbers that Dagster plots over time; empty where test was not looked at."""
    found = recorded.get("comparison")
    if found is None:
        return {}
    figures = {name: found[name] for name in ("difference", "low", "high", "p_value")}
    wanted = ("alpha_per_route", "minimum_detectable_effect", "cost_ratio", "latency_ratio")
    figures |= {name: recorded[name] for name in wanted}
    return {name: float(value) for name, value in figures.items() if value is not None}


def problems_check(contest: Contest) -> dg.AssetCheckResult:
    """Rows that an evaluator or a judge failed on have no score; unparsable answers have one, 0, and are counted."""
    counts = problem_counts(one.record.summary for one in contest.all_evaluations())
    failed = counts["evaluator_error"] + counts["judge_error"]
    sentence = f"{failed} rows have no score, since an evaluator or a judge failed on them"
    return dg.AssetCheckResult(
        check_name="scored_rows",
        passed=failed == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{sentence}; {counts['unparsable']} answers break their output contract (score 0).",
        metadata={f"{kind}_rows": count for kind, count in counts.items()},
    )


def agreement_check(contest: Contest) -> dg.AssetCheckResult:
    """Whether judges agree with people on the answers of `dev` that people have graded."""
    found = calibrations(one.record.summary for one in contest.dev.values())
    warnings = [one["warning"] for one in found.values() if one["warning"]]
    told = "; ".join(calibration_text(name, one) for name, one in found.items())
    return dg.AssetCheckResult(
        check_name="judge_agreement",
        passed=not warnings,
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(warnings) or told or "No judge is calibrated against people.",
        metadata={f"{name}_kappa": one["kappa"] for name, one in found.items() if one.get("kappa") is not None},
    )


def regression_check(contest: Contest, database: Database) -> dg.AssetCheckResult:
    """Whether production's test score fell below the interval it had on the task's earlier dataset version.

    By the same evaluator: an edited one says nothing of production. Another draw of answers is no other question here,
    where rows are not paired: a model that answers worse since then is what should be seen.
    """
    now = contest.test[contest.production.id].record
    with database.session(read_only=True) as session:
        history = evaluations.list_evaluations(
            session, now.task, prompt_version_id=now.prompt_version_id, split=str(Split.TEST), limit=50
        )
    alike = (one for one in history if (one.metric, one.scored_by) == (now.metric, now.scored_by))
    before = next((one for one in alike if one.dataset_version_id != now.dataset_version_id), None)
    if before is None:
        sentence, passed = "No earlier dataset version was scored by the same evaluator.", True
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
