"""The asset `promotion`: the production alias, moved only by a recorded decision."""

from datetime import UTC, datetime

import dagster as dg

from assets.failures import clear_failures
from assets.partitions import tasks_partitions
from assets.presentation.tables import markdown_table
from domain.identity import short_id
from resources.database.repositories import aliases
from resources.database_resource import DatabaseResource
from resources.evaluation.promote import PRODUCTION, decision_to_carry_out, hold_text, promote_decided
from resources.storage.handles import CompressionHandle, DecisionHandle, PromotionHandle
from resources.storage_io_manager import OPTIONAL


@dg.asset(
    partitions_def=tasks_partitions,
    group_name="promotions",
    code_version="1",
    ins={name: dg.AssetIn(metadata={OPTIONAL: True}) for name in ("evaluation", "compression")},
    description=(
        "Moves the alias `production` to the candidate where the recorded decision says promote: the newest one of an "
        "evaluation, of a compression, or of a live experiment with `promote: automatic`. It reads the decision again "
        "itself, so that launching it alone cannot bypass the gate."
    ),
)
def promotion(
    context: dg.AssetExecutionContext,
    evaluation: DecisionHandle | None,
    compression: CompressionHandle | None,
    database: DatabaseResource,
) -> dg.Output[PromotionHandle]:
    """Carry out one task's newest decision."""
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
    return dg.Output(handle, data_version=dg.DataVersion(outcome.production_id or "none"), metadata=metadata)
