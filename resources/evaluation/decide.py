"""From candidates to a recorded decision: best on dev, shown test once, compared in pairs, put to the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.dataset import DatasetVersion, Split
from domain.errors import ConflictError
from domain.gate import decide
from domain.identity import content_id
from domain.scored_pairs import ScoredPairs, scored_pairs
from domain.task import Task
from resources.database.repositories import aliases, gate_decisions
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.evaluate import Evaluation, EvaluationEngine
from resources.evaluation.evaluators import evaluator_identity
from resources.evaluation.promote import PRODUCTION

MAX_DECISION_RACES = 5


@dataclass(frozen=True, slots=True)
class Contest:
    """All evaluations of one decision.

    Attributes:
        winner: best candidate on dev; None when no candidate differs from production.
        dev: by prompt version id, every contender on dev.
        test: by prompt version id, production and the winner (if it was shown test).
        references: baselines that cannot be promoted, on test.
    """

    production: PromptVersionRecord
    winner: PromptVersionRecord | None
    dev: dict[str, Evaluation]
    test: dict[str, Evaluation]
    references: tuple[Evaluation, ...]
    decision: GateDecisionRecord

    def all_evaluations(self) -> list[Evaluation]:
        """Every evaluation of this contest, once."""
        return [*self.dev.values(), *self.test.values(), *self.references]


class Decider:
    """Runs a contest between production and candidates of one task on one dataset version."""

    def __init__(
        self,
        task: Task,
        dataset: DatasetVersion,
        engine: EvaluationEngine,
        database: Database,
        clock: Callable[[], datetime],
    ) -> None:
        self._task = task
        self._dataset = dataset
        self._engine = engine
        self._database = database
        self._clock = clock

    async def run(
        self,
        production: PromptVersionRecord,
        candidates: Sequence[PromptVersionRecord],
        references: Sequence[PromptVersionRecord] = (),
    ) -> Contest:
        """Evaluate, compare and record. The same contest again gives the recorded decision and costs nothing.

        Raises:
            UnansweredError: a call got no answer; running it again goes on from there.
            ProviderError: the provider refuses the requests themselves.
            EvaluatorError: the metric could score no row at all.
        """
        rivals = list({record.id: record for record in candidates if record.id != production.id}.values())
        dev = {record.id: await self._engine.evaluate(record.prompt, Split.DEV) for record in (production, *rivals)}
        settled = self._settled(production, rivals, dev)
        if settled is not None:
            return await self._show_settled(settled, production, rivals, dev, references)
        winner = min(rivals, key=lambda record: (-dev[record.id].record.score, record.version), default=None)
        test = {production.id: await self._engine.evaluate(production.prompt, Split.TEST)}
        seen = await self._on_test(references)
        if winner is None:
            decision = self._keep(production, production, "There is no candidate besides production.")
        elif self._hopeless(dev[winner.id], dev[production.id]):
            decision = self._keep(production, winner, _dev_reason(dev[winner.id], dev[production.id]))
        else:
            test[winner.id] = await self._engine.evaluate(winner.prompt, Split.TEST)
            decision = self._put_to_gate(production, winner, test)
        return Contest(production, winner, dev, test, seen, decision)

    def _settled(
        self, production: PromptVersionRecord, rivals: list[PromptVersionRecord], dev: dict[str, Evaluation]
    ) -> GateDecisionRecord | None:
        """The decision that put `production` there on this very dataset, where no rival has since done better on dev.

        Without it, evaluating again after a promotion would put the old production up as a candidate and spend another
        look at test on a question that is answered.
        """
        with self._database.session(read_only=True) as session:
            last = next(iter(aliases.history(session, self._task.name, PRODUCTION)), None)
            decision = gate_decisions.find(session, last.decision_id) if last and last.decision_id else None
        if decision is None or decision.dataset_version_id != self._dataset.id:
            return None
        if decision.candidate_id != production.id or decision.production_id not in {record.id for record in rivals}:
            return None
        best = max(dev[record.id].record.score for record in rivals)
        return decision if best <= dev[production.id].record.score else None

    async def _show_settled(
        self,
        decision: GateDecisionRecord,
        winner: PromptVersionRecord,
        rivals: list[PromptVersionRecord],
        dev: dict[str, Evaluation],
        references: Sequence[PromptVersionRecord],
    ) -> Contest:
        former = next(record for record in rivals if record.id == decision.production_id)
        test = {record.id: await self._engine.evaluate(record.prompt, Split.TEST) for record in (former, winner)}
        return Contest(former, winner, dev, test, await self._on_test(references), decision)

    async def _on_test(self, records: Sequence[PromptVersionRecord]) -> tuple[Evaluation, ...]:
        return tuple([await self._engine.evaluate(record.prompt, Split.TEST) for record in records])

    def _hopeless(self, winner: Evaluation, production: Evaluation) -> bool:
        """Worse on dev than any route of the gate allows: not worth a look at test."""
        allowed = self._task.gate.non_inferiority_margin or 0.0
        return winner.record.score + allowed < production.record.score

    def _put_to_gate(
        self, production: PromptVersionRecord, winner: PromptVersionRecord, test: dict[str, Evaluation]
    ) -> GateDecisionRecord:
        pairs = scored_pairs(test[winner.id].arm(), test[production.id].arm())
        refusal = pairs.refusal(self._task.gate)
        if refusal is not None:
            return self._refuse_unscored(production, winner, test, refusal)
        decision_id = self._decision_id(production, winner)
        for _ in range(MAX_DECISION_RACES):
            with self._database.session(read_only=True) as session:
                known = gate_decisions.find(session, decision_id)
                look = gate_decisions.looks(session, self._task.name) + 1
            if known is not None:
                return known
            outcome = decide(self._task.gate, pairs.candidate, pairs.production, look)
            record = GateDecisionRecord(
                id=decision_id,
                task=self._task.name,
                candidate_id=winner.id,
                production_id=production.id,
                dataset_version_id=self._dataset.id,
                candidate_evaluation_id=test[winner.id].record.id,
                production_evaluation_id=test[production.id].record.id,
                look=look,
                verdict=outcome.verdict,
                reason=outcome.reason + _left_out(pairs),
                comparison={**outcome.as_dict(), "unscored_rows": pairs.unscored},
                created_at=self._clock(),
            )
            try:
                with self._database.session() as session:
                    return gate_decisions.record(session, record)
            except ConflictError:
                continue
        raise ConflictError("other decisions of this task kept taking the next look", mend="try again.")

    def _refuse_unscored(
        self,
        production: PromptVersionRecord,
        winner: PromptVersionRecord,
        test: dict[str, Evaluation],
        reason: str,
    ) -> GateDecisionRecord:
        """A refusal of these very evaluations: once the evaluator is mended, the contest is still open."""
        arms = (test[winner.id].record.id, test[production.id].record.id)
        record = replace(
            self._undecided(production, winner, "reject", reason),
            id=content_id([self._decision_id(production, winner), *arms]),
            candidate_evaluation_id=arms[0],
            production_evaluation_id=arms[1],
        )
        with self._database.session() as session:
            return gate_decisions.record(session, record)

    def _keep(self, production: PromptVersionRecord, candidate: PromptVersionRecord, reason: str) -> GateDecisionRecord:
        with self._database.session() as session:
            return gate_decisions.record(session, self._undecided(production, candidate, "keep", reason))

    def _undecided(
        self, production: PromptVersionRecord, candidate: PromptVersionRecord, verdict: str, reason: str
    ) -> GateDecisionRecord:
        """A decision that no statistics made, and that is no look at test."""
        return GateDecisionRecord(
            id=self._decision_id(production, candidate),
            task=self._task.name,
            candidate_id=candidate.id,
            production_id=production.id,
            dataset_version_id=self._dataset.id,
            candidate_evaluation_id=None,
            production_evaluation_id=None,
            look=0,
            verdict=verdict,
            reason=reason,
            comparison={},
            created_at=self._clock(),
        )

    def _decision_id(self, production: PromptVersionRecord, candidate: PromptVersionRecord) -> str:
        evaluators = [evaluator_identity(spec) for spec in self._task.evaluators]
        rule = self._task.gate.model_dump(mode="json")
        return content_id([self._task.name, production.id, candidate.id, self._dataset.id, evaluators, rule])


def _left_out(pairs: ScoredPairs) -> str:
    return f" {pairs.unscored} of {pairs.rows} rows without a score were left out." if pairs.unscored else ""


def _dev_reason(winner: Evaluation, production: Evaluation) -> str:
    return (
        f"The best candidate scores {winner.record.score:.1%} on dev, production {production.record.score:.1%}; "
        "it was not shown the test split."
    )
