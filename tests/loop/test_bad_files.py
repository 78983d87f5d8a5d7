"""A dataset file nobody can use: one clear failure, nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from loop.workplace import INGEST, TASK, Example, Workplace, csv_text

from assets.permanent_failure import PERMANENT_FAILURE_TAG
from resources.database.repositories import dataset_versions

ROWS = 48
GOOD = csv_text([Example(number) for number in range(ROWS)])


def with_bad_labels(text: str) -> str:
    """Every second label is one that the task does not know."""
    lines = text.splitlines()
    spoilt = [line.rpartition(",")[0] + ",garden" if number % 2 else line for number, line in enumerate(lines)]
    return "\n".join(spoilt) + "\n"


BAD = {
    "not UTF-8": (GOOD.encode() + b"Crate caf\xe9 holds one drum,shed\n", ROWS + 2, None, "not UTF-8", "UTF-8"),
    "a missing column": (
        GOOD.replace("text,label", "text,lable", 1).encode(), 1, "dataset.output", "no column 'label'", "text, lable",
    ),
    "mostly bad labels": (
        with_bad_labels(GOOD).encode(), 2, "label", f"{ROWS // 2} of {ROWS} rows cannot be used", "attic",
    ),
    "an empty file": (b"", None, None, "empty", "add a header"),
}  # fmt: skip


class Ingest:
    """The job `ingest` of the task, on the workplace's instance."""

    def __init__(self, place: Workplace, job: dg.JobDefinition) -> None:
        self.place = place
        self._job = job

    def run(self) -> dg.ExecuteInProcessResult:
        with self.place.instance() as instance:
            instance.add_dynamic_partitions("tasks", [TASK])
            return self._job.execute_in_process(instance=instance, partition_key=TASK, raise_on_error=False)

    def tags(self, run_id: str) -> dict[str, str]:
        with self.place.instance() as instance:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            return dict(run.tags)

    def versions(self) -> Sequence[Any]:
        with self.place.database() as database, database.session(read_only=True) as session:
            return dataset_versions.list_dataset_versions(session, TASK)

    def files(self) -> dict[str, bytes]:
        folders = (self.place.home / "storage" / "datasets", self.place.home / "storage" / "handles" / "dataset")
        return {str(path): path.read_bytes() for folder in folders for path in folder.iterdir()}


@pytest.fixture
def ingest(make_workplace: Callable[..., Workplace]) -> Ingest:
    from assets.datasets.dataset import dataset
    from assets.prompts.prompt_version import prompt_version
    from jobs.ingest import ingest as job
    from orchestration.task_resources import build_task_resources

    place = make_workplace(ROWS)
    definitions = dg.Definitions(
        assets=[dataset, prompt_version], jobs=[job], resources=build_task_resources(place.environment)
    )
    return Ingest(place, definitions.resolve_job_def("ingest"))


def failure_of(result: dg.ExecuteInProcessResult, step: str) -> Any:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert event.step_key == step
    told = event.step_failure_data.user_failure_data
    assert told is not None
    return told


@pytest.mark.parametrize(("kind", "landed"), [*((kind, False) for kind in BAD), ("not UTF-8", True)])
def test_it_is_one_clear_failure_and_loses_nothing(ingest: Ingest, kind: str, landed: bool) -> None:
    content, row, field, problem, mend = BAD[kind]
    assert ingest.run().success
    versions, files = ingest.versions(), ingest.files()
    bad: Path = ingest.place.landing / "bad.csv" if landed else ingest.place.source
    bad.parent.mkdir(parents=True, exist_ok=True)
    bad.write_bytes(content)

    result = ingest.run()

    told = failure_of(result, "dataset")
    place = f"{bad}:{row}" if row else str(bad)
    assert place in told.description
    assert problem in told.description
    assert f"Mend: {told.metadata['mend'].value}" in told.description
    assert mend in told.metadata["mend"].value
    assert told.metadata["file"].value == str(bad)
    assert (told.metadata["row"].value if row else None) == (str(row) if row else None)
    if field:
        assert f"[{field}]" in told.description
        assert told.metadata["field"].value == field
    assert ingest.tags(result.run_id)[PERMANENT_FAILURE_TAG] == "true"
    assert (ingest.versions(), ingest.files()) == (versions, files)


def test_the_mended_file_is_read_as_if_nothing_had_happened(ingest: Ingest) -> None:
    assert ingest.run().success
    ingest.place.source.write_bytes(BAD["not UTF-8"][0])
    assert not ingest.run().success
    ingest.place.source.write_text(GOOD, encoding="utf-8")
    again = ingest.run()

    assert again.success
    assert PERMANENT_FAILURE_TAG not in ingest.tags(again.run_id)
    assert len(ingest.versions()) == 1
    assert len(INGEST) == len(again.get_asset_materialization_events())
