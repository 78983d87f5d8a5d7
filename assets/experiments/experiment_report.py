"""The asset `experiment_report`: what a live experiment shows so far, and its end once it is decided."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from assets.experiments.checks import guardrails_check, sample_ratio_check
from assets.experiments.metadata import report_metadata
from assets.failures import clear_failures
from assets.partitions import experiments_partitions
from domain.identity import content_id
from resources.database_resource import DatabaseResource
from resources.experiments.reporting import conclude, make_report
from resources.storage.handles import ExperimentHandle

CHECKS = [
    dg.AssetCheckSpec("sample_ratio", asset="experiment_report", description="Units fell to the variants as dealt."),
    dg.AssetCheckSpec("guardrails", asset="experiment_report", description="Cost and latency keep to their limits."),
]


@dg.asset(
    partitions_def=experiments_partitions,
    group_name="experiments",
    kinds={"python"},
    check_specs=CHECKS,
    code_version="1",
    description=(
        "The variants of a live A/B test against its control: gain, cost and latency with confidence sequences that "
        "hold however often they are looked at. An experiment with `stop: automatic` is stopped here once it is "
        "decided or a guardrail is broken, and the decision is recorded."
    ),
)
def experiment_report(
    context: dg.AssetExecutionContext, database: DatabaseResource
) -> Iterator[dg.Output[ExperimentHandle] | dg.AssetCheckResult]:
    """Analyse one experiment, and end it where its stop rule says so."""
    now = datetime.now(UTC)
    with clear_failures(context), database.connect() as opened:
        live = make_report(opened, context.partition_key, now)
        if live.started.experiment.stop == "automatic":
            live = conclude(opened, live, now)
    record = live.started.record
    handle = ExperimentHandle(
        experiment=record.name,
        task=record.task,
        state=record.state,
        verdict=live.report.verdict.kind,
        decision_id=record.decision_id,
        observations_id=live.observations_id,
    )
    version = content_id([live.observations_id, record.revision])
    yield dg.Output(handle, data_version=dg.DataVersion(version), metadata=report_metadata(live))
    yield sample_ratio_check(live)
    yield guardrails_check(live)
