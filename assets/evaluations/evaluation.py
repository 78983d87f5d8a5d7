"""The asset `evaluation`: candidates against production, in pairs, on the same rows, put to the gate."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from assets.evaluations.checks import agreement_check, gate_check, problems_check, regression_check
from assets.evaluations.contenders import Contenders, find_contenders
from assets.evaluations.metadata import contest_metadata
from assets.evaluations.report import write_report
from assets.failures import clear_failures
from assets.partitions import tasks_partitions
from assets.pools import LLM_POOL
from domain.dataset import DatasetVersion
from domain.task import Task
from resources.catalog_resource import CatalogResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.evaluation.decide import Contest, Decider
from resources.evaluation.evaluate import EvaluationEngine
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
    pool=LLM_POOL,
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
        contenders = find_contenders(opened, prompt_version, optimization_run)
        contest = asyncio.run(_hold(context, task, dataset, contenders, opened, storage, llm))
        checks = [
            gate_check(contest),
            problems_check(contest),
            agreement_check(contest),
            regression_check(contest, opened),
        ]
        report = write_report(contest, dataset, storage.path())
    handle = DecisionHandle(task=task.name, decision_id=contest.decision.id, verdict=contest.decision.verdict)
    metadata = contest_metadata(contest, dataset)
    if report is not None:
        metadata["report"] = dg.MetadataValue.path(str(report))
    yield dg.Output(handle, data_version=dg.DataVersion(contest.decision.id), metadata=metadata)
    yield from checks


async def _hold(
    context: dg.AssetExecutionContext,
    task: Task,
    dataset: DatasetVersion,
    contenders: Contenders,
    database: Database,
    storage: StorageResource,
    llm: LLMResource,
) -> Contest:
    def clock() -> datetime:
        return datetime.now(UTC)

    async with llm.aclient(context, budgets=task.caps()) as client:
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
