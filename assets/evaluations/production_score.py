"""The asset `production_score`: the production prompt, asked afresh, against how it did at first."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from assets.failures import clear_failures
from assets.partitions import tasks_partitions
from assets.pools import LLM_POOL
from domain.dataset import DatasetVersion
from domain.pricing import nano_to_usd
from domain.task import Task
from resources.catalog_resource import CatalogResource
from resources.database.repositories import prompt_versions
from resources.database.repositories.production_checks import ProductionCheck
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.evaluation.evaluate import Evaluation, EvaluationEngine
from resources.evaluation.production_check import check_production
from resources.evaluation.promote import PRODUCTION
from resources.llm_resource import LLMResource
from resources.observability.progress import board
from resources.storage.handles import DatasetVersions
from resources.storage_resource import StorageResource

PURPOSE = "check"


@dg.asset(
    partitions_def=tasks_partitions,
    group_name="evaluations",
    kinds={"python"},
    output_required=False,
    pool=LLM_POOL,
    check_specs=[
        dg.AssetCheckSpec(
            "production_holds", asset="production_score", description="Production scores no worse than at first."
        )
    ],
    description=(
        "The production prompt on the dev rows, asked afresh, row by row against the first such answers after its "
        "promotion; rows that came later are not asked. Costs what the rows cost; the test split is not touched."
    ),
)
def production_score(
    context: dg.AssetExecutionContext,
    dataset: DatasetVersions,
    catalog: CatalogResource,
    database: DatabaseResource,
    storage: StorageResource,
    llm: LLMResource,
) -> Iterator[dg.MaterializeResult]:
    """Check one task's production prompt."""
    with clear_failures(context), database.connect() as opened:
        task = catalog.catalog().get(context.partition_key).task
        with opened.session(read_only=True) as session:
            production = prompt_versions.get(session, task.name, PRODUCTION)
        check, evaluation = asyncio.run(_check(context, task, dataset.of(task.name), production, opened, storage, llm))
    yield dg.MaterializeResult(
        metadata=_metadata(check, evaluation, production),
        data_version=dg.DataVersion(check.id),
        check_results=[_result(check)],
    )


async def _check(
    context: dg.AssetExecutionContext,
    task: Task,
    dataset: DatasetVersion,
    production: PromptVersionRecord,
    database: Database,
    storage: StorageResource,
    llm: LLMResource,
) -> tuple[ProductionCheck, Evaluation]:
    def clock() -> datetime:
        return datetime.now(UTC)

    async with llm.aclient(context, budgets=task.caps()) as client:

        def engine(sample: int) -> EvaluationEngine:
            return EvaluationEngine(
                task=task,
                dataset=dataset,
                database=database,
                root=storage.path(),
                llm=client,
                clock=clock,
                progress=board.report,
                sample=sample,
                purpose=PURPOSE,
                recorded=False,
            )

        return await check_production(task, dataset, production, database, engine, clock)


def _result(check: ProductionCheck) -> dg.AssetCheckResult:
    if check.look == 0:
        told = f"Nothing to compare with yet: {check.score:.3f} on {check.rows} rows is the reference from now on."
    else:
        told = (
            f"{check.score:.3f} on {check.rows} rows, {check.difference:+.3f} against the reference "
            f"(p = {check.p_value:.2g}, look {check.look}, drift at p ≤ {check.alpha:.2g})."
        )
    return dg.AssetCheckResult(
        check_name="production_holds",
        passed=not check.worse,
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
    )


def _metadata(
    check: ProductionCheck, evaluation: Evaluation, production: PromptVersionRecord
) -> dict[str, dg.MetadataValue]:
    return {
        "prompt_version": dg.MetadataValue.text(f"v{production.version} ({production.id[:12]})"),
        "score": dg.MetadataValue.float(check.score),
        "interval": dg.MetadataValue.text(f"{check.score_low:.3f} to {check.score_high:.3f}"),
        "reference_score": dg.MetadataValue.float(check.reference_score),
        "difference": dg.MetadataValue.float(check.difference),
        "p_value": dg.MetadataValue.float(check.p_value),
        "look": dg.MetadataValue.int(check.look),
        "rows": dg.MetadataValue.int(check.rows),
        "answers_dollars": dg.MetadataValue.float(
            float(nano_to_usd(sum(example.cost_nano_usd for example in evaluation.examples)))
        ),
    }
