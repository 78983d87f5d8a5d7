"""What starts by itself downstream of the sensors: on changed data versions and on missing ones, never on a touch."""

from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from resources.catalog.catalog import Catalog

EVALUATION_INTERVAL_S = 15
OPTIMIZATION_RUN = dg.AssetSelection.assets("optimization_run")


@dataclass(frozen=True)
class TaskAsksForOptimization(dg.AutomationCondition):
    """True for the partitions (tasks) whose file says `optimize: automatic` and names an optimizer."""

    catalog_folder: str

    @property
    def name(self) -> str:
        """Shown in the UI beside each evaluation."""
        return "task_asks_for_optimization"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Read the task files afresh: a task that is switched to `automatic` needs no reload."""
        entries = Catalog(Path(self.catalog_folder)).read().entries
        asking = {entry.task.name for entry in entries if entry.task.optimizer and entry.task.optimize == "automatic"}
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection_with_partition_keys(asking))


def evaluation_condition() -> dg.AutomationCondition:
    """Evaluate again when dataset, prompt or optimization result changed; a task without optimization does not wait."""
    return _changed_or_missing() & _ready(ignoring=OPTIMIZATION_RUN)


def promotion_condition() -> dg.AutomationCondition:
    """Look at every new decision."""
    return _changed_or_missing() & _ready()


def optimization_condition(catalog_folder: str) -> dg.AutomationCondition:
    """Optimize again when dataset or prompt changed, where the task file asks for it."""
    return TaskAsksForOptimization(catalog_folder) & _changed_or_missing() & _ready()


def automation_sensor(target: dg.AssetSelection) -> dg.AutomationConditionSensorDefinition:
    """The one sensor that evaluates these conditions; on by default."""
    return dg.AutomationConditionSensorDefinition(
        "downstream_automation",
        target=target,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVALUATION_INTERVAL_S,
        use_user_code_server=True,
        description="Starts optimization, evaluation and promotion when what they depend on has a new data version.",
    )


def _changed_or_missing() -> dg.AutomationCondition:
    """A dependency has a new data version (not merely a new run), or the partition was never materialized.

    `since` without the initial evaluation: what is missing when the sensor first runs is to be made as well.
    """
    changed = dg.AutomationCondition.data_version_changed() & ~dg.AutomationCondition.executed_with_root_target()
    trigger = dg.AutomationCondition.any_deps_match(changed | dg.AutomationCondition.will_be_requested())
    handled = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
    return (dg.AutomationCondition.newly_missing() | trigger).since(handled)


def _ready(ignoring: dg.AssetSelection | None = None) -> dg.AutomationCondition:
    missing = dg.AutomationCondition.any_deps_missing()
    if ignoring is not None:
        missing = missing.ignore(ignoring)
    return (
        ~missing
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
        & dg.AutomationCondition.all_deps_blocking_checks_passed()
    )
