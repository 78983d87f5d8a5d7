"""Calls and dollars that a backfill may take, from the plans of its tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from domain.dataset import DatasetVersion, Row, Split
from domain.errors import PromptoryError
from domain.optimization_plan import Range
from orchestration.backfill.catalog_state import CatalogState
from orchestration.environments import Environment
from resources.catalog.catalog import CatalogEntry
from resources.catalog.ingest import ingest, source_files
from resources.database.repositories import aliases, answers, optimization_runs, prompt_versions
from resources.database.session import Database
from resources.evaluation.call_plan import NOTHING, CallPlan, Contender, plan_evaluation
from resources.evaluation.promote import PRODUCTION
from resources.llm.prices import PriceBook, price_book
from resources.llm.settings import CoreSettings
from resources.optimization.plan import binding_caps, plan_run
from resources.storage.datasets import DatasetStore
from resources.storage.failures import storage_errors
from resources.storage.location import path_at

# Reading the rows of a thousand tasks takes seconds; the mean of a hundred says as much.
MOST_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Estimate:
    """Figures of all partitions, worked out for `looked_at` of them."""

    calls: Range = NOTHING
    cost: Range | None = NOTHING
    looked_at: int = 0


class CostEstimator:
    """Estimates assets that make calls; the others cost nothing.

    Raises:
        ConfigurationError, InputError: the settings are not usable.
    """

    def __init__(self, environment: Environment, database: Database, catalog: CatalogState) -> None:
        self._catalog = catalog
        self._database = database
        self._landing = path_at(environment.landing_root)
        self._store = DatasetStore(path_at(environment.storage_root))
        self._settings: CoreSettings = environment.core_settings()
        self._prices: PriceBook = price_book(self._settings)
        self._planners: dict[str, Callable[[Session, CatalogEntry], CallPlan]] = {
            "optimization_run": lambda _, entry: self._optimization(entry),
            "evaluation": self._evaluation,
        }

    def estimate(self, asset: str, tasks: Sequence[str]) -> Estimate:
        """The calls and dollars of `asset` for these tasks; of more than `MOST_LOOKED_AT` every n-th is looked at.

        A task whose files cannot be used is not counted: making it will fail before it pays for anything.
        """
        planner = self._planners.get(asset)
        if planner is None or not tasks:
            return Estimate()
        step = -(-len(tasks) // MOST_LOOKED_AT)
        looked_at = [self._catalog.entries[name] for name in tasks[::step]]
        planned, counted = CallPlan(), 0
        with self._database.session(read_only=True) as session:
            for entry in looked_at:
                try:
                    planned += planner(session, entry)
                except (PromptoryError, *storage_errors()):
                    continue
                counted += 1
        if counted == 0:
            return Estimate()
        share = len(tasks) / len(looked_at)
        cost = None if planned.cost is None else _times(planned.cost, share)
        return Estimate(_times(planned.calls, share), cost, counted)

    def _optimization(self, entry: CatalogEntry) -> CallPlan:
        task = entry.task
        if task.optimizer is None:
            return CallPlan()
        rows = self._rows(entry)
        train, dev = ([row for row in rows if row.split is split] for split in (Split.TRAIN, Split.DEV))
        caps = binding_caps(task, self._settings)
        plan = plan_run(task.prompt.version(), task.optimizer, train, dev, self._prices, caps, task.metric)
        bound = plan.bound_nano_usd
        cost = plan.cost
        if cost is not None and bound is not None:
            cost = Range(min(cost.expected, bound), min(cost.at_most, bound))
        return CallPlan(plan.calls, cost)

    def _evaluation(self, session: Session, entry: CatalogEntry) -> CallPlan:
        """Production and its rivals on dev, production and the best of them on test, and the baselines there."""
        task, rows = entry.task, self._rows(entry)
        authored = task.prompt.version()
        alias = aliases.find(session, task.name, PRODUCTION)
        production = authored.id if alias is None else alias.prompt_version_id
        runs = optimization_runs.list_optimization_runs(session, task.name, status="finished", limit=1)
        results = [run.result_prompt_version_id for run in runs if run.result_prompt_version_id is not None]
        rivals = [one for one in dict.fromkeys([authored.id, *results]) if one != production]
        references = [one for run in runs for one in run.reference_prompt_version_ids]
        dev, test = (sum(row.split is split for row in rows) for split in (Split.DEV, Split.TEST))
        wanted = {production: dev + test, **dict.fromkeys(rivals, dev)}
        if rivals:
            wanted[rivals[-1]] = dev + test
        for one in references:
            wanted[one] = wanted.get(one, 0) + test
        contenders: list[Contender] = []
        for version_id, count in wanted.items():
            known = prompt_versions.find(session, task.name, version_id)
            prompt = authored if known is None else known.prompt
            contenders.append(Contender(prompt, count, answers.count(session, version_id)))
        return plan_evaluation(task, contenders, rows, self._prices, with_rival=bool(rivals))

    def _rows(self, entry: CatalogEntry) -> list[Row]:
        """Those of the newest version; of a task that was never read, those of its files."""
        version: DatasetVersion | None = self._catalog.datasets.get(entry.task.name)
        if version is not None:
            return self._store.read(version, list(Split))
        return list(ingest(entry.task, source_files(entry.task, entry.path, self._landing)).rows.values())


def _times(figures: Range, factor: float) -> Range:
    return Range(round(figures.expected * factor), round(figures.at_most * factor))
