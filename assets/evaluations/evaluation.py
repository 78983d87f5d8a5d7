"""The asset `evaluation`: candidates against production, in pairs, on the same rows, put to the gate."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from assets.evaluations.checks import agreement_check, gate_check, problems_check, regression_check
from assets.evaluations.contenders import Contenders, find_contenders
from assets.evaluations.metadata import contest_metadata
from assets.evaluations.report import write_report
from assets.failures import clear_failures
from assets.one_partition import AssetEvent, OnePartition, each_partition
from assets.partitions import EVALUATION_POLICY, tasks_partitions
from assets.pools import LLM_POOL
from assets.presentation.rows_log import RowsLog
from domain.dataset import DatasetVersion
from domain.task import Task
from resources.catalog_resource import CatalogResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.evaluation.decide import Contest, Decider
from resources.evaluation.evaluate import EvaluationEngine
from resources.evaluation.production_check import EVALUATION_SAMPLES
from resources.llm.loop_thread import run_interruptibly
from resources.llm_resource import LLMResource
from resources.storage.handles import (
    DatasetVersions,
    DecisionHandle,
    OptimizationHandle,
    OptimizationHandles,
    PromptHandle,
    PromptHandles,
)
from resources.storage_resource import StorageResource

CHECKS = [
    dg.AssetCheckSpec("gate", asset="evaluation", description="The best candidate is shown to be better."),
    dg.AssetCheckSpec("scored_rows", asset="evaluation", description="No evaluator and no judge failed on a row."),
    dg.AssetCheckSpec("judge_agreement", asset="evaluation", description="Judges agree with people's grades on dev."),
    dg.AssetCheckSpec("score_regression", asset="evaluation", description="Production scores no worse than before."),
]


class EvaluationConfig(dg.Config):
    """Whether kept answers count."""

    sample: int = Field(
        default=0,
        ge=0,
        lt=EVALUATION_SAMPLES,
        description="0 takes the answers that are kept; another number asks all contenders afresh, once per number.",
    )


@dg.asset(
    partitions_def=tasks_partitions,
    group_name="evaluations",
    kinds={"python"},
    check_specs=CHECKS,
    output_required=False,
    backfill_policy=EVALUATION_POLICY,
    code_version="1",
    pool=LLM_POOL,
    description=(
        "All candidates on `dev`; the best one, and only that, on the sealed `test` split beside production, row by "
        "row. The gate's decision is recorded with its statistics. Answers are kept: a row is never paid for twice."
    ),
)
def evaluation(
    context: dg.AssetExecutionContext,
    config: EvaluationConfig,
    dataset: DatasetVersions,
    prompt_version: PromptHandles,
    optimization_run: OptimizationHandles,
    catalog: CatalogResource,
    database: DatabaseResource,
    storage: StorageResource,
    llm: LLMResource,
) -> Iterator[dg.Output[DecisionHandle] | dg.AssetCheckResult]:
    """Evaluate each task's contenders and record the gate's decision."""

    def evaluate(one: OnePartition) -> Iterator[AssetEvent]:
        key = one.partition_key
        inputs = dataset.of(key), prompt_version.of(key), optimization_run.find(key)
        return _evaluate(one, config, *inputs, catalog, database, storage, llm)

    yield from each_partition(context, storage.path(), evaluate)


def _evaluate(
    context: OnePartition,
    config: EvaluationConfig,
    dataset: DatasetVersion,
    prompt_version: PromptHandle,
    optimization_run: OptimizationHandle | None,
    catalog: CatalogResource,
    database: DatabaseResource,
    storage: StorageResource,
    llm: LLMResource,
) -> Iterator[AssetEvent]:
    with clear_failures(context), database.connect() as opened:
        task = catalog.catalog().get(context.partition_key).task
        contenders = find_contenders(opened, prompt_version, optimization_run)
        contest = run_interruptibly(_hold(context, config, task, dataset, contenders, opened, storage, llm))
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
    context: OnePartition,
    config: EvaluationConfig,
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
            progress=RowsLog(context.log.info, time.monotonic),
            sample=config.sample,
        )
        decider = Decider(task, dataset, engine, database, clock)
        return await decider.run(contenders.production, contenders.candidates, contenders.references)
