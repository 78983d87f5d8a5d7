"""All tables; importing this package fills `Base.metadata`."""

from resources.database.tables.base import Base
from resources.database.tables.batches import BatchAnswerRow, BatchChunkRow, BatchFileRow, BatchRow
from resources.database.tables.catalog import AliasMoveRow, AliasRow, DatasetVersionRow, PromptVersionRow, TaskRow
from resources.database.tables.experiments import ExperimentRow, InteractionRow, OutcomeRow
from resources.database.tables.judgements import JudgementRow
from resources.database.tables.ledger import AttemptRow, BudgetScopeRow, CallRow
from resources.database.tables.metrics import (
    AlertDeliveryRow,
    AlertRow,
    ContentCheckRow,
    ExportedDayRow,
    InputCheckRow,
    LedgerMarkRow,
    ProductionCheckRow,
    RemovedSpendRow,
)
from resources.database.tables.optimization import (
    AnswerRow,
    EvaluationRow,
    GateDecisionRow,
    JournalEntryRow,
    OptimizationRunRow,
)
from resources.database.tables.provider_jobs import ProviderJobRow

__all__ = [
    "AlertDeliveryRow",
    "AlertRow",
    "AliasMoveRow",
    "AliasRow",
    "AnswerRow",
    "AttemptRow",
    "Base",
    "BatchAnswerRow",
    "BatchChunkRow",
    "BatchFileRow",
    "BatchRow",
    "BudgetScopeRow",
    "CallRow",
    "ContentCheckRow",
    "DatasetVersionRow",
    "EvaluationRow",
    "ExperimentRow",
    "ExportedDayRow",
    "GateDecisionRow",
    "InputCheckRow",
    "InteractionRow",
    "JournalEntryRow",
    "JudgementRow",
    "LedgerMarkRow",
    "OptimizationRunRow",
    "OutcomeRow",
    "ProductionCheckRow",
    "PromptVersionRow",
    "ProviderJobRow",
    "RemovedSpendRow",
    "TaskRow",
]
