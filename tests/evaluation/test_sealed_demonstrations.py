"""A candidate whose examples are rows of the test split it would be judged on is not judged there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from evaluation.desk import LABELS, NOW, Desk, rows_of, task_of
from servers.openai_server import OpenAIServer

from domain.dataset import Row, Split, SplitFractions, make_row
from domain.prompt import Demonstration, PromptStep, PromptVersion
from domain.task import Task
from resources.evaluation.decide import Contest, Decider
from resources.llm import open_client

ROWS = rows_of(40)


def showing(prompt: PromptVersion, row: Row) -> PromptVersion:
    example = Demonstration(inputs=row.inputs, output=LABELS[0])
    return prompt.with_steps((prompt.steps[0].model_copy(update={"demonstrations": (example,)}),))


def contest_of(desk: Desk, task: Task, *candidates: PromptVersion, rows: Sequence[Row] = ROWS) -> Contest:
    async def run() -> Contest:
        async with open_client(desk.core()) as llm:
            dataset = desk.dataset(rows)
            decider = Decider(task, dataset, desk.engine(task, dataset, llm), desk.database, lambda: NOW)
            records = [desk.register(task, prompt) for prompt in candidates]
            return await decider.run(desk.register(task, task.prompt.version()), records)

    return asyncio.run(run())


def test_it_is_kept_out_with_the_reason_and_spends_no_look(desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = lambda body: LABELS[len(body["messages"]) < 3]
    task = task_of([{"kind": "choice_label"}])
    production = task.prompt.version()
    sealed, fair = (next(row for row in ROWS if row.split is split) for split in (Split.TEST, Split.DEV))

    contest = contest_of(desk, task, showing(production, sealed))

    assert (contest.decision.verdict, contest.decision.look) == ("keep", 0)
    assert "show 1 of the rows it would be tested on" in contest.decision.reason
    assert list(contest.test) == [production.id]
    again = contest_of(desk, task, showing(production, sealed))
    assert again.decision == contest.decision
    others = [showing(production, sealed), showing(production, fair)]
    passed = contest_of(desk, task, *others).decision
    assert (passed.verdict, passed.candidate_id, passed.look) == ("promote", others[1].id, 1)


def test_a_hopeless_candidate_does_not_hide_the_reason(desk: Desk, server: OpenAIServer) -> None:
    worse = {"system_prompt": "Guess."}
    server.behaviour = lambda body: LABELS["Guess." in str(body["messages"])]
    task = task_of([{"kind": "choice_label"}])
    production = task.prompt.version()
    sealed = next(row for row in ROWS if row.split is Split.TEST)
    rivals = [production.with_steps((production.steps[0].model_copy(update=worse),)), showing(production, sealed)]

    contest = contest_of(desk, task, *rivals)

    assert contest.decision.candidate_id == rivals[1].id
    assert "show 1 of the rows it would be tested on" in contest.decision.reason


def test_a_later_step_may_show_a_field_that_rows_of_all_splits_share(desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = lambda body: LABELS[len(body["messages"]) < 3]
    splits = SplitFractions(train=0.4, dev=0.3, test=0.3)
    rows = [
        make_row({"text": f"crate {number}", "kind": "wood"}, LABELS[0], f"r{number}", splits) for number in range(60)
    ]
    task = task_of(
        [{"kind": "choice_label"}], dataset={"source": "x.csv", "inputs": ["text", "kind"], "output": "label"}
    )
    production = task.prompt.version()
    trained = next(row for row in rows if row.split is Split.TRAIN)
    gist = PromptStep(name="gist", output_prompt="{{ text }}")
    shown = Demonstration(inputs={"gist": trained.inputs["text"], "kind": "wood"}, output=LABELS[0])
    answer = production.steps[0].model_copy(
        update={"output_prompt": "{{ gist }} of {{ kind }}", "demonstrations": (shown,)}
    )

    decision = contest_of(desk, task, production.with_steps((gist, answer)), rows=rows).decision

    assert (decision.verdict, decision.look) == ("promote", 1), decision.reason
