"""What starts by itself downstream of the sensors: on changed data versions and on missing ones, never on a touch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from assets.provenance import CODE_VERSION, DATA_VERSION, INPUT_DATA_VERSION, as_input
from resources.catalog.catalog import Catalog

EVALUATION_INTERVAL_S = 15
OPTIMIZATION_RUN = dg.AssetSelection.assets("optimization_run")
COMPRESSION = dg.AssetKey("compression")
PROMOTION = dg.AssetKey("promotion")
# Metadata of a compression: what was in production, and what it would put there.
COMPRESSED = ("production_version_id", "result_version_id")


@dataclass(frozen=True)
class TaskAsksForOptimization(dg.AutomationCondition):
    """True for the partitions (tasks) whose file says `optimize: automatic` and names an optimizer."""

    catalog_folder: str
    endpoints: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Shown in the UI beside each evaluation."""
        return "task_asks_for_optimization"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Read the task files afresh: a task that is switched to `automatic` needs no reload."""
        entries = Catalog(Path(self.catalog_folder), dict(self.endpoints)).read().entries
        asking = {entry.task.name for entry in entries if entry.task.optimizer and entry.task.optimize == "automatic"}
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection_with_partition_keys(asking))


@dataclass(frozen=True)
class ProductionIsNotCompressed(dg.AutomationCondition):
    """True for the partitions whose production prompt is neither what was compressed last nor what came of it.

    Only for tasks whose file says `compress: {start: automatic}`; a compression's own result is not compressed again.
    """

    catalog_folder: str
    endpoints: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Shown in the UI beside each evaluation."""
        return "production_is_not_compressed"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Compare where the alias was last seen with the newest compression."""
        entries = Catalog(Path(self.catalog_folder), dict(self.endpoints)).read().entries
        asking = {entry.task.name for entry in entries if entry.task.compress.start == "automatic"}
        candidates = context.candidate_subset.compute_intersection_with_partition_keys(asking)
        open_ones = {key for key in candidates.expensively_compute_partition_keys() if _is_uncompressed(context, key)}
        return dg.AutomationResult(context, candidates.compute_intersection_with_partition_keys(open_ones))


def _is_uncompressed(context: dg.AutomationContext, partition: str) -> bool:
    instance = context.asset_graph_view.instance
    production = _tags(instance, PROMOTION, partition).get(DATA_VERSION)
    compressed = _newest(instance, COMPRESSION, partition)
    known = [compressed.metadata[name].value for name in COMPRESSED] if compressed else []
    return production not in (None, "none", *known)


@dataclass(frozen=True)
class InputsHaveMovedOn(dg.AutomationCondition):
    """True for the partitions whose newest materialization was made from other data versions than its inputs have now.

    Costs a few queries a partition: to be asked of those only that were just materialized.
    """

    @property
    def name(self) -> str:
        """Shown in the UI beside each evaluation."""
        return "inputs_have_moved_on"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Compare what the materialization was made from with what there is."""
        candidates = context.candidate_subset
        behind = {key for key in candidates.expensively_compute_partition_keys() if _is_behind(context, key)}
        return dg.AutomationResult(context, candidates.compute_intersection_with_partition_keys(behind))


def _is_behind(context: dg.AutomationContext, partition: str) -> bool:
    instance = context.asset_graph_view.instance
    made_from = _tags(instance, context.key, partition)
    if CODE_VERSION not in made_from:
        return False  # reported from outside: nobody knows what it was made from
    for parent in context.asset_graph.get(context.key).parent_keys:
        now = _tags(instance, parent, partition).get(DATA_VERSION)
        if now is not None and made_from.get(f"{INPUT_DATA_VERSION}/{parent.to_user_string()}") != as_input(now):
            return True
    return False


def _tags(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str) -> Mapping[str, str]:
    materialization = _newest(instance, asset, partition)
    return (materialization.tags or {}) if materialization else {}


def _newest(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str) -> dg.AssetMaterialization | None:
    newest = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    found = instance.fetch_materializations(newest, limit=1).records
    return found[0].asset_materialization if found else None


def evaluation_condition() -> dg.AutomationCondition:
    """Evaluate again when dataset, prompt or optimization result changed; a task without optimization does not wait."""
    return _changed_or_missing() & _ready(ignoring=OPTIMIZATION_RUN)


def promotion_condition() -> dg.AutomationCondition:
    """Look at every new decision."""
    return _changed_or_missing() & _ready(ignoring=dg.AssetSelection.assets(COMPRESSION))


def optimization_condition(catalog_folder: str, endpoints: Mapping[str, str]) -> dg.AutomationCondition:
    """Optimize again when dataset or prompt changed, where the task file asks for it."""
    return TaskAsksForOptimization(catalog_folder, tuple(sorted(endpoints.items()))) & _changed_or_missing() & _ready()


def compression_condition(catalog_folder: str, endpoints: Mapping[str, str]) -> dg.AutomationCondition:
    """Compress what has come into production, where the task file asks for it.

    Compression lies upstream of promotion, which carries its decision out, and yet starts because of it: production is
    an alias, not an asset, and promotion is the one that looks at it.
    """
    condition = dg.AutomationCondition
    wanted = ProductionIsNotCompressed(catalog_folder, tuple(sorted(endpoints.items())))
    moved = condition.asset_matches(PROMOTION, condition.data_version_changed())
    trigger = wanted.newly_true() | (moved & wanted)
    handled = (condition.newly_requested() & ~trigger) | (condition.newly_updated() & ~wanted)
    at_rest = ~condition.asset_matches(PROMOTION, condition.in_progress())
    return wanted & trigger.since(handled) & _ready() & at_rest


def automation_sensor(target: dg.AssetSelection) -> dg.AutomationConditionSensorDefinition:
    """The one sensor that evaluates these conditions; on by default."""
    return dg.AutomationConditionSensorDefinition(
        "downstream_automation",
        target=target,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVALUATION_INTERVAL_S,
        use_user_code_server=True,
        description="Starts optimization, evaluation, compression and promotion when what they go by has changed.",
    )


def _changed_or_missing() -> dg.AutomationCondition:
    """A dependency has a new data version (not merely a new run), or the partition was never materialized.

    Ticks come seconds apart and runs take minutes, so that an input may change after a run was requested, or while it
    works on the former one. Such a change must not pass for handled when the run is requested or done; Dagster's
    `since_last_handled` would forget it.

    `since` without the initial evaluation: what is missing when the sensor first runs is to be made as well.
    """
    condition = dg.AutomationCondition
    changed = condition.data_version_changed() & ~condition.executed_with_root_target()
    awaited = condition.any_deps_match(condition.will_be_requested())
    overtaken = condition.newly_updated() & InputsHaveMovedOn()
    trigger = condition.newly_missing() | condition.any_deps_match(changed) | awaited | overtaken
    up_to_date = condition.newly_updated() & ~InputsHaveMovedOn() & ~awaited
    return trigger.since((condition.newly_requested() & ~trigger) | up_to_date)


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
