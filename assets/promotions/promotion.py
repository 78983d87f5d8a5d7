"""The asset `promotion`: the production alias, moved only by a recorded decision."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from assets.failures import clear_failures
from assets.one_partition import AssetEvent, OnePartition, each_partition
from assets.partitions import PROMOTION_POLICY, tasks_partitions
from assets.presentation.tables import markdown_table
from domain.identity import short_id
from resources.database.repositories import aliases
from resources.database_resource import DatabaseResource
from resources.evaluation.promote import PRODUCTION, decision_to_carry_out, hold_text, promote_decided
from resources.storage.handles import (
    CompressionHandle,
    CompressionHandles,
    DecisionHandle,
    DecisionHandles,
    PromotionHandle,
)
from resources.storage_resource import StorageResource


@dg.asset(
    partitions_def=tasks_partitions,
    group_name="promotions",
    output_required=False,
    backfill_policy=PROMOTION_POLICY,
    code_version="1",
    description=(
        "Moves the alias `production` to the candidate where the recorded decision says promote: the newest one of an "
        "evaluation, of a compression, or of a live experiment with `promote: automatic`. It reads the decision again "
        "itself, so that launching it alone cannot bypass the gate."
    ),
)
def promotion(
    context: dg.AssetExecutionContext,
    evaluation: DecisionHandles,
    compression: CompressionHandles,
    database: DatabaseResource,
    storage: StorageResource,
) -> Iterator[dg.Output[PromotionHandle] | dg.AssetCheckResult]:
    """Carry out each task's newest decision."""

    def promote(one: OnePartition) -> Iterator[AssetEvent]:
        key = one.partition_key
        return _promote(one, evaluation.find(key), compression.find(key), database)

    yield from each_partition(context, storage.path(), promote)


def _promote(
    context: OnePartition,
    evaluation: DecisionHandle | None,
    compression: CompressionHandle | None,
    database: DatabaseResource,
) -> Iterator[AssetEvent]:
    task = context.partition_key
    with clear_failures(context), database.connect() as opened:
        decision_id = decision_to_carry_out(
            opened,
            task,
            evaluation.decision_id if evaluation else None,
            compression.decision_id if compression else None,
        )
        outcome = promote_decided(opened, task, decision_id, datetime.now(UTC))
        with opened.session(read_only=True) as session:
            moves = aliases.history(session, task, PRODUCTION)[:10]
            held = aliases.hold(session, task, PRODUCTION)
    rows = [
        [f"{move.moved_at:%Y-%m-%d %H:%M}", move.kind, short_id(move.to_id), move.moved_by, move.reason]
        for move in moves
    ]
    handle = PromotionHandle(task=task, production_id=outcome.production_id, decision_id=outcome.decision.id)
    metadata = {
        "moved": outcome.moved,
        "held": hold_text(held) if held else "no",
        "reason": outcome.reason,
        "verdict": outcome.decision.verdict,
        "decision_id": outcome.decision.id,
        "production": outcome.production_id or "none",
        "history": dg.MetadataValue.md(markdown_table(["when (UTC)", "what", "to", "by", "why"], rows)),
    }
    yield dg.Output(handle, data_version=dg.DataVersion(outcome.production_id or "none"), metadata=metadata)
