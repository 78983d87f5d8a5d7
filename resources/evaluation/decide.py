"""From candidates to a recorded decision: best on dev, shown test once, compared in pairs, put to the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from domain.dataset import DatasetVersion, Split
from domain.gate import decide
from domain.identity import content_id
from domain.scored_pairs import EvaluatedArm, ScoredPairs, scored_pairs
from domain.statistics.family import FamilyMember, compare_family
from domain.task import Task
from resources.database.repositories import aliases, gate_decisions
from resources.database.repositories.aliases import AliasMoveRecord
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.effort import Effort
from resources.evaluation.evaluate import Evaluation, EvaluationEngine
from resources.evaluation.evaluators import evaluator_identity
from resources.evaluation.looks import find_decision, record_at_next_look
from resources.evaluation.preferences import Side
from resources.evaluation.promote import PRODUCTION, hold_text


@dataclass(frozen=True, slots=True)
class Contest:
    """All evaluations of one decision.

    Attributes:
        winner: best candidate on dev; None when no candidate differs from production.
        dev: by prompt version id, every contender on dev.
        test: by prompt version id, production and the winner (if it was shown test).
        references: baselines that cannot be promoted, on test.
        compared: what judging production and the winner in pairs took.
    """

    production: PromptVersionRecord
    winner: PromptVersionRecord | None
    dev: dict[str, Evaluation]
    test: dict[str, Evaluation]
    references: tuple[Evaluation, ...]
    decision: GateDecisionRecord
    compared: Effort = field(default_factory=Effort)

    def all_evaluations(self) -> list[Evaluation]:
        """Every evaluation of this contest, once."""
        return [*self.dev.values(), *self.test.values(), *self.references]

    def candidates_on_dev(self) -> tuple[FamilyMember, ...]:
        """Every contender on dev against production there, by prompt version id, corrected for their number (Holm).

        On the rows that have a score in every arm; none where there is no such row.
        """
        scores = {version_id: one.arm().scores for version_id, one in self.dev.items()}
        rows = [row for row in zip(*scores.values(), strict=True) if None not in row]
        if not rows:
            return ()
        whole = dict(zip(scores, zip(*rows, strict=True), strict=True))
        production = whole.pop(self.production.id)
        return compare_family(whole, production)

    def effort(self) -> Effort:
        """What all of it took now."""
        return Effort.total([*(one.effort for one in self.all_evaluations()), self.compared])


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
        test = {production.id: await self._engine.evaluate(production.prompt, Split.TEST)}
        held = self._held()
        settled = None if held else self._settled(production, rivals, dev, test[production.id])
        if settled is not None:
            return await self._show_settled(settled, production, rivals, dev, references)
        winner = self._winner(production, rivals, dev)
        seen = await self._on_test(references)
        compared = Effort()
        if winner is None:
            decision = self._keep(production, production, "There is no candidate besides production.")
        elif held is not None:
            decision = self._keep_held(production, winner, dev, held)
        elif shown := self._test_rows_in(winner):
            decision = self._keep_shown(production, winner, shown)
        elif self._hopeless(dev[winner.id], dev[production.id]):
            # What was seen on dev is part of the question: other scores there may send the same two to the gate.
            seen_on_dev = [dev[one.id].record.id for one in (winner, production)]
            reason = _dev_reason(dev[winner.id], dev[production.id])
            decision = self._keep(production, winner, reason, "keep", *seen_on_dev)
        else:
            test[winner.id] = await self._engine.evaluate(winner.prompt, Split.TEST)
            decision, compared = await self._put_to_gate(production, winner, test)
        return Contest(production, winner, dev, test, seen, decision, compared)

    def _held(self) -> AliasMoveRecord | None:
        with self._database.session(read_only=True) as session:
            return aliases.hold(session, self._task.name, PRODUCTION)

    def _settled(
        self,
        production: PromptVersionRecord,
        rivals: list[PromptVersionRecord],
        dev: dict[str, Evaluation],
        on_test: Evaluation,
    ) -> GateDecisionRecord | None:
        """The decision that put `production` there on this very dataset, where no rival has since done better on dev.

        It must rest on the very evaluation of production that is made now, `on_test`: under edited evaluators the
        question is another one.

        Without it, evaluating again after a promotion would put the old production up as a candidate and spend another
        look at test on a question that is answered.
        """
        with self._database.session(read_only=True) as session:
            last = next(iter(aliases.history(session, self._task.name, PRODUCTION)), None)
            carried_out = last.decision_id if last and last.kind == "gate" else None
            decision = gate_decisions.find(session, carried_out) if carried_out else None
        if decision is None or decision.dataset_version_id != self._dataset.id:
            return None
        if decision.candidate_evaluation_id != on_test.record.id:
            return None
        if decision.candidate_id != production.id or decision.production_id not in {record.id for record in rivals}:
            return None
        fair = [dev[record.id].record.score for record in rivals if not self._test_rows_in(record)]
        return decision if max(fair, default=0.0) <= dev[production.id].record.score else None

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

    def _winner(
        self, production: PromptVersionRecord, rivals: list[PromptVersionRecord], dev: dict[str, Evaluation]
    ) -> PromptVersionRecord | None:
        """The best on dev; where that shows test rows, the best of those that show none and might pass, if any."""
        ranked = sorted(rivals, key=lambda record: (-dev[record.id].record.score, record.version))
        if not ranked or not self._test_rows_in(ranked[0]):
            return next(iter(ranked), None)
        hopeful = (one for one in ranked if not self._hopeless(dev[one.id], dev[production.id]))
        return next((one for one in hopeful if not self._test_rows_in(one)), ranked[0])

    def _test_rows_in(self, record: PromptVersionRecord) -> int:
        return self._engine.rows_demonstrated(record.prompt, Split.TEST)

    def _hopeless(self, winner: Evaluation, production: Evaluation) -> bool:
        """Worse on dev than any route of the gate allows: not worth a look at test."""
        allowed = self._task.gate.non_inferiority_margin or 0.0
        return winner.record.score + allowed < production.record.score

    def _keep_shown(
        self, production: PromptVersionRecord, winner: PromptVersionRecord, shown: int
    ) -> GateDecisionRecord:
        """What has been shown test rows cannot be tested on them: that would be another question than the gate's."""
        reason = (
            f"The demonstrations of the best candidate show {shown} of the rows it would be tested on, so it was not "
            "put to the gate. Optimize again on this dataset version, or take these demonstrations out."
        )
        return self._keep(production, winner, reason, "shows test rows")

    async def _put_to_gate(
        self, production: PromptVersionRecord, winner: PromptVersionRecord, test: dict[str, Evaluation]
    ) -> tuple[GateDecisionRecord, Effort]:
        """The decision, and what judging the two in pairs took where the gate asks for that."""
        rule, decision_id = self._task.gate, self._decision_id(production, winner)
        known = find_decision(self._database, decision_id)
        if known is not None and known.look == 0:
            # Earlier releases stored what was kept out on dev under this id: no answer to what is asked here.
            decision_id = self._decision_id(production, winner, "look")
            known = find_decision(self._database, decision_id)
        if known is not None:
            return known, Effort()
        arms, pairwise, effort = await self._arms(production, winner, test)
        pairs = scored_pairs(*arms)
        refusal = pairs.refusal(rule)
        if refusal is not None:
            # A refusal of these very evaluations: once the evaluator is mended, the contest is still open. It is a
            # look all the same, for the scores can be seen.
            decision_id = content_id([decision_id, *(test[one.id].record.id for one in (winner, production)), pairwise])

        def at_look(look: int) -> GateDecisionRecord:
            told = {"unscored_rows": pairs.unscored, **pairwise}
            blank = replace(
                self._undecided(production, winner, "reject", refusal or ""),
                id=decision_id,
                candidate_evaluation_id=test[winner.id].record.id,
                production_evaluation_id=test[production.id].record.id,
                look=look,
                comparison=told,
            )
            if refusal is not None:
                return blank
            outcome = decide(rule, pairs.candidate, pairs.production, look)
            reason = " ".join([*_lead(pairwise), outcome.reason, *_left_out(pairs)])
            return replace(blank, verdict=outcome.verdict, reason=reason, comparison={**outcome.as_dict(), **told})

        return record_at_next_look(self._database, self._task.name, decision_id, at_look), effort

    async def _arms(
        self, production: PromptVersionRecord, winner: PromptVersionRecord, test: dict[str, Evaluation]
    ) -> tuple[tuple[EvaluatedArm, EvaluatedArm], dict[str, Any], Effort]:
        """Both arms by the metric, or by a judge that sees them side by side; and what to tell of the latter."""
        if self._task.gate.pairwise is None:
            return (test[winner.id].arm(), test[production.id].arm()), {}, Effort()
        sides = [Side(record.prompt, test[record.id].examples) for record in (winner, production)]
        found, path = await self._engine.prefer(self._task.gate.pairwise, Split.TEST, *sides)
        return found.arms(), {"pairwise": {**found.counts(), "storage_path": path}}, found.effort

    def _keep_held(
        self,
        production: PromptVersionRecord,
        winner: PromptVersionRecord,
        dev: dict[str, Evaluation],
        held: AliasMoveRecord,
    ) -> GateDecisionRecord:
        """No look at test is spent on a question whose answer nobody would act on."""
        reason = f"{hold_text(held)} {_dev_reason(dev[winner.id], dev[production.id])}"
        kept = self._undecided(
            # A hold is a contest of its own: once it is released, the same two versions meet at the gate.
            production, winner, "keep", reason, f"held {held.id}",
            comparison={"held_by": held.moved_by, "held_since": held.moved_at.isoformat()},
        )  # fmt: skip
        with self._database.session() as session:
            return gate_decisions.record(session, kept)

    def _keep(
        self, production: PromptVersionRecord, candidate: PromptVersionRecord, reason: str, *marks: str
    ) -> GateDecisionRecord:
        with self._database.session() as session:
            return gate_decisions.record(session, self._undecided(production, candidate, "keep", reason, *marks))

    def _undecided(
        self,
        production: PromptVersionRecord,
        candidate: PromptVersionRecord,
        verdict: str,
        reason: str,
        *marks: str,
        comparison: dict[str, Any] | None = None,
    ) -> GateDecisionRecord:
        """A decision that no statistics made, and that is no look at test."""
        return GateDecisionRecord(
            id=self._decision_id(production, candidate, *marks),
            task=self._task.name,
            candidate_id=candidate.id,
            production_id=production.id,
            dataset_version_id=self._dataset.id,
            candidate_evaluation_id=None,
            production_evaluation_id=None,
            look=0,
            verdict=verdict,
            reason=reason,
            comparison=comparison or {},
            created_at=self._clock(),
        )

    def _decision_id(self, production: PromptVersionRecord, candidate: PromptVersionRecord, *marks: str) -> str:
        evaluators = [evaluator_identity(spec) for spec in self._task.evaluators]
        rule = self._task.gate.model_dump(mode="json")
        # Fresh answers are another question, and another look with an α of its own.
        afresh = [{"sample": self._engine.sample}] if self._engine.sample else []
        versions = [production.id, candidate.id, self._dataset.id]
        return content_id([self._task.name, *versions, evaluators, rule, *marks, *afresh])


def _left_out(pairs: ScoredPairs) -> list[str]:
    return [f"{pairs.unscored} of {pairs.rows} rows without a score were left out."] if pairs.unscored else []


def _lead(told: dict[str, Any]) -> list[str]:
    if not told:
        return []
    found = told["pairwise"]
    sentence = (
        f"Judged in pairs, the candidate is preferred on {found['preferred']} rows, production on "
        f"{found['not_preferred']}; {found['ties']} ties, {found['swayed_by_order']} of them because the judge changed "
        "its mind with the order of the answers."
    )
    return [sentence]


def _dev_reason(winner: Evaluation, production: Evaluation) -> str:
    return (
        f"The best candidate scores {winner.record.score:.1%} on dev, production {production.record.score:.1%}; "
        "it was not shown the test split."
    )
