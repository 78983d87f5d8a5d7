"""The whole loop on banking77 with `offline/nearest`: does the search find more than demonstrations drawn at random?

Configuration and the smallest gain the sealed test split can show are stated, and written, before anything is asked.
Then the loop runs as `promptory` runs it: dataset, prompt, optimization, evaluation with the gate. Baseline, random
demonstrations and the optimised prompt meet on the test split once, inside the gate.

    python -m benchmarks.banking77 --data FOLDER                       print
    python -m benchmarks.banking77 --data FOLDER --output benchmarks/BANKING77.md

FOLDER holds train.csv and test.csv of banking77 (Casanueva et al. 2020, CC BY 4.0).
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upath import UPath

from benchmarks.banking_task import (
    DATA_HELP,
    DATA_VARIABLE,
    NAME,
    DataMissingError,
    Design,
    data_folder,
    read_rows,
    write_catalog,
)

if TYPE_CHECKING:
    from domain.dataset import DatasetVersion
    from domain.gate_plan import GatePlan
    from domain.task import Task
    from orchestration.cli.views.outcome import Outcome
    from orchestration.environments import Environment
    from resources.optimization.plan import RunPlan

STEPS = (("dataset", "prompt_version"), ("optimization_run",), ("evaluation", "promotion"))
NOT_A_MODEL = (
    "`offline/nearest` is not a language model but a nearest-neighbour reader of the demonstrations in the prompt. "
    "These scores say whether the loop finds and proves a gain, and nothing about what a language model would score. "
    "The weights of its text features were once chosen on English support messages and banking questions, so its level "
    "here may flatter it; all arms share that."
)


@dataclass(frozen=True)
class Stage:
    """One part of the loop: calls through the core, of them cache hits, nano-USD and wall seconds."""

    name: str
    calls: int
    cached: int
    nano_usd: int
    seconds: float


@dataclass(frozen=True)
class Found:
    """What came of it."""

    outcome: Outcome
    stages: tuple[Stage, ...]
    over_random: Any


def own_environment(folder: Path) -> Environment:
    """Settings in which no variable of the environment has a say."""
    from orchestration.environments import Environment

    home = folder / "home"
    return Environment(
        home=home,
        catalog=folder / "catalog",
        config=folder / "promptory.yaml",
        landing=str(home / "landing"),
        storage=str(home / "storage"),
        database_url=f"sqlite:///{home / 'promptory.db'}",
        state_url=f"sqlite:///{home / 'state.db'}",
    )


def prepare(folder: Path, rows: list[tuple[str, str]], design: Design) -> Environment:
    """Catalog, database, dataset version and prompt version below `folder`; nothing is asked of a model."""
    from orchestration.launch import run_assets
    from resources.database.schema import upgrade
    from resources.database.session import open_database

    write_catalog(folder / "catalog", rows, design)
    environment = own_environment(folder)
    environment.home.mkdir(parents=True, exist_ok=True)
    database = open_database(environment.database)
    try:
        upgrade(database)
    finally:
        database.dispose()
    run_assets(environment, NAME, STEPS[0])
    return environment


def statement(environment: Environment) -> str:
    """Configuration, plan and minimum detectable effect, as Markdown, from what is stored and before any call."""
    from orchestration.cli.opening import current_database
    from resources.catalog.catalog import Catalog
    from resources.database.repositories import dataset_versions, prompt_versions
    from resources.evaluation.plan import plan_next_look
    from resources.evaluation.promote import PRODUCTION
    from resources.optimization.run_optimization import OptimizationRun

    task, root = Catalog(environment.catalog).get(NAME).task, UPath(environment.storage_root)
    with current_database(environment) as database, database.session(read_only=True) as session:
        dataset = dataset_versions.latest(session, NAME)
        assert dataset is not None
        prompt = prompt_versions.get(session, NAME, PRODUCTION)
        gate = plan_next_look(session, root, task, dataset)
        run = OptimizationRun(task, prompt, dataset, session).plan(root, environment.core_settings())
    return _stated(task, dataset, run, gate)


def _stated(task: Task, dataset: DatasetVersion, run: RunPlan, gate: GatePlan) -> str:
    assert task.optimizer is not None
    spec, split = task.optimizer.model_dump(mode="json"), dataset.split_rows
    labels = len(task.prompt.steps[-1].output.model_dump()["choices"])
    answers = 2 * split["dev"] + (spec["reference_draws"] + 2) * split["test"]
    stated = f"""\
- Rows: {dataset.rows:,}, of them train {split["train"]:,}, dev {split["dev"]:,}, test {split["test"]:,};
  {dataset.quarantined} set aside (repeated or contradictory). Dealt by the hash of the text, seed \
{task.dataset.split.seed}.
- Model `{task.prompt.model}`; metric `{task.metric.kind}`. The baseline prompt names all {labels} labels and shows no
  demonstration.
- Optimizer `{spec["kind"]}`, seed {spec["seed"]}: {spec["candidates"]} drawn sets of {spec["max_labeled"]}
  demonstrations, at most {spec["max_bootstrapped"]} of them bootstrapped, scored on
  {min(spec["dev_rows"], split["dev"])} dev rows. Cap of the run: ${task.budget.run_usd} (a unit of account, nobody is \
paid).
- Search: {run.sentence()}. Evaluation: at most {answers:,} more answers.
- Random demonstrations: {spec["reference_draws"]} draws of as many labelled rows as the winner shows.
- Gate: α = {task.gate.alpha:g} over all looks, this is look {gate.look}; one-sided exact McNemar test.
"""
    return stated + "\n".join(f"- {sentence}" for sentence in gate.sentences)


def measure(environment: Environment) -> Found:
    """Search, evaluate, decide, promote; the figures are read back from what the loop stored."""
    from orchestration.cli.opening import current_database
    from orchestration.cli.views.effort import measured
    from orchestration.cli.views.outcome import read_outcome
    from orchestration.launch import run_assets

    stages: list[Stage] = []
    decision_id = ""
    with current_database(environment) as database:
        for names in STEPS[1:]:
            with measured(database, NAME) as effort:
                report = run_assets(environment, NAME, names)
            spent = effort.now
            stages.append(Stage(names[0], spent.calls, spent.cached, spent.spent_nano_usd, report.seconds))
            decision_id = str(report.metadata.get("evaluation", {}).get("decision_id", decision_id))
        outcome = read_outcome(database, environment.storage_root, NAME, decision_id)
    return Found(outcome, tuple(stages), _over_random(UPath(environment.storage_root), outcome))


def _over_random(root: UPath, outcome: Outcome) -> Any:
    """The optimised prompt against the mean of the random draws, row by row; None where it was not shown test."""
    from domain.statistics.paired import compare_paired
    from resources.evaluation.stored_scores import read_scores

    if outcome.candidate.test is None or not outcome.random_draws:
        return None
    draws = [read_scores(root, record) for record in outcome.random_draws]
    ours = read_scores(root, outcome.candidate.test)
    rows = sorted(set(ours).intersection(*draws))
    return compare_paired([ours[row] for row in rows], [sum(one[row] for one in draws) / len(draws) for row in rows])


def results(found: Found) -> str:
    """Scores, decision and effort as Markdown."""
    from orchestration.cli.figures import dollars, interval, percent

    outcome = found.outcome
    table = ["| on the sealed test split | rows | score | 95 % interval |", "|---|--:|--:|---|"]
    arms = [("baseline", outcome.baseline.test), ("optimised", outcome.candidate.test)]
    for name, record in arms:
        if record is None:
            table.append(f"| {name} | – | not shown test | |")
        else:
            low_high = interval(record.score_low, record.score_high)
            table.append(f"| {name} | {record.rows:,} | {percent(record.score)} | {low_high} |")
    mean = outcome.random_mean
    if mean is not None:
        name = f"random demonstrations, mean of {len(outcome.random_draws)} draws"
        table.insert(3, f"| {name} | {mean.n:,} | {percent(mean.mean)} | {interval(mean.low, mean.high)} |")
    said = [f"Gate: **{outcome.decision.verdict}** (look {outcome.decision.look}). {outcome.decision.reason}"]
    if found.over_random is not None:
        one = found.over_random
        said.append(
            f"Optimised over random demonstrations, row by row: {100 * one.difference:+.1f} points "
            f"({100 * one.low:+.1f} to {100 * one.high:+.1f}), one-sided p = {one.p_value:.2g} ({one.method}). "
            "The gate does not ask this; random demonstrations cannot be promoted."
        )
    effort = ["| | calls | of them cache hits | dollars | seconds |", "|---|--:|--:|--:|--:|"]
    for stage in found.stages:
        name = stage.name.replace("_", " ")
        spent = dollars(stage.nano_usd)
        effort.append(f"| {name} | {stage.calls:,} | {stage.cached:,} | {spent} | {stage.seconds:.0f} |")
    return "\n\n".join(["\n".join(table), *said, "\n".join(effort)])


def heading() -> str:
    """What the page is about."""
    return (
        f"# banking77 with offline/nearest\n\nPython {platform.python_version()}, {os.cpu_count()} cores. {NOT_A_MODEL}"
        "\n\nWritten by `python -m benchmarks.banking77`; the first part before the first call.\n"
    )


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.banking77", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=data_folder(), help=DATA_HELP)
    parser.add_argument("--output", type=Path, help="also write the page here, its first part before the first call")
    parser.add_argument("--seed", type=int, default=Design.seed, help="of the search (default: %(default)s)")
    parser.add_argument("--candidates", type=int, default=Design.candidates, help="sets drawn (default: %(default)s)")
    parser.add_argument("--dev-rows", type=int, default=Design.dev_rows, help="rows scored (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """State, run, report."""
    options = parse_options(arguments)
    if options.data is None:
        sys.exit(f"banking77 is no part of Promptory: name its folder with --data, or set {DATA_VARIABLE}.")
    os.environ.pop("DAGSTER_HOME", None)  # its runs belong to no instance but their own
    try:
        rows = read_rows(options.data)
    except DataMissingError as error:
        sys.exit(str(error))
    design = Design(seed=options.seed, candidates=options.candidates, dev_rows=options.dev_rows)
    with tempfile.TemporaryDirectory(prefix="banking77-") as folder:
        environment = prepare(Path(folder), rows, design)
        page = f"{heading()}\n## Stated before the run ({_now()})\n\n{statement(environment)}\n"
        _give(page, options.output, page)
        found = results(measure(environment))
        part = f"\n## What came of it ({_now()})\n\n{found}\n"
        _give(part, options.output, page + part)


def _give(part: str, output: Path | None, page: str) -> None:
    print(part, flush=True)
    if output is not None:
        output.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
