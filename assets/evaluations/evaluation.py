"""The asset `evaluation`: candidates against production, in pairs, on the same rows, put to the gate."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from assets.evaluations.checks import agreement_check, gate_check, problems_check, regression_check
from assets.evaluations.contenders import find_contenders
from assets.evaluations.metadata import contest_metadata
from assets.failures import clear_failures
from assets.partitions import tasks_partitions
from domain.dataset import DatasetVersion
from domain.task import Task
from resources.catalog_resource import CatalogResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.evaluation.decide import Contest, Decider
from resources.evaluation.evaluate import EvaluationEngine
from resources.llm import open_client
from resources.llm_resource import LLMResource
from resources.observability.progress import board
from resources.storage.handles import DecisionHandle, OptimizationHandle, PromptHandle
from resources.storage_io_manager import OPTIONAL
from resources.storage_resource import StorageResource

CHECKS = [
    dg.AssetCheckSpec("gate", asset="evaluation", description="The best candidate is shown to be better."),
    dg.AssetCheckSpec("scored_rows", asset="evaluation", description="No evaluator and no judge failed on a row."),
    dg.AssetCheckSpec("judge_agreement", asset="evaluation", description="Judges agree with people's grades on dev."),
    dg.AssetCheckSpec("score_regression", asset="evaluation", description="Production scores no worse than before."),
]


@dg.asset(
    partitions_def=tasks_partitions,
    group_name="evaluations",
    kinds={"python"},
    check_specs=CHECKS,
    code_version="1",
    ins={"optimization_run": dg.AssetIn(metadata={OPTIONAL: True})},
    description=(
        "All candidates on `dev`; the best one, and only that, on the sealed `test` split beside production, row by "
        "row. The gate's decision is recorded with its statistics. Answers are kept: a row is never paid for twice."
    ),
)
def evaluation(
    context: dg.AssetExecutionContext,
    dataset: DatasetVersion,
    prompt_version: PromptHandle,
    optimization_run: OptimizationHandle | None,
    catalog: CatalogResource,
    database: DatabaseResource,
    storage: StorageResource,
    llm: LLMResource,
) -> Iterator[dg.Output[DecisionHandle] | dg.AssetCheckResult]:
    """Evaluate one task's contenders and record the gate's decision."""
    with clear_failures(context), database.connect() as opened:
        task = catalog.catalog().get(context.partition_key).task
        contest = asyncio.run(_hold(task, dataset, prompt_version, optimization_run, opened, storage, llm))
        checks = [
            gate_check(contest),
            problems_check(contest),
            agreement_check(contest),
            regression_check(contest, opened),
        ]
    handle = DecisionHandle(task=task.name, decision_id=contest.decision.id, verdict=contest.decision.verdict)
    yield dg.Output(
        handle, data_version=dg.DataVersion(contest.decision.id), metadata=contest_metadata(contest, dataset)
    )
    yield from checks


async def _hold(
    task: Task,
    dataset: DatasetVersion,
    authored: PromptHandle,
    optimized: OptimizationHandle | None,
    database: Database,
    storage: StorageResource,
    llm: LLMResource,
) -> Contest:
    def clock() -> datetime:
        return datetime.now(UTC)

    contenders = find_contenders(database, authored, optimized)
    async with open_client(llm.settings(task.caps())) as client:
        engine = EvaluationEngine(
            task=task,
            dataset=dataset,
            database=database,
            root=storage.path(),
            llm=client,
            clock=clock,
            progress=board.report,
        )
        decider = Decider(task, dataset, engine, database, clock)
        return await decider.run(contenders.production, contenders.candidates, contenders.references)
