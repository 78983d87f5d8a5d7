"""Looking at what a production prompt is asked and answers: words its dataset has not, other labels than at first.

Words are compared with the newest dataset version's `train` and `dev` rows (the test split stays sealed), answers with
those of the prompt's own first days: a prompt that answers wrongly from the start has not drifted. Each kind has its
own part of the task's drift α, spent over its looks at the prompt version. A look is made when a day has passed and
batches with `min_calls` rows were finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from upath import UPath

from domain.contracts import ChoiceContract
from domain.dataset import DatasetVersion, Split
from domain.errors import InputError, NotFoundError
from domain.statistics.alpha_spending import alpha_for_look
from domain.statistics.shift import compare_classes
from domain.statistics.words import MOST_ROWS, compare_words, words_of
from domain.task import DriftSpec
from resources.database.repositories import content_checks, dataset_versions, finished_batches
from resources.database.repositories.content_checks import ContentCheck, ContentKind
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.drift.production_rows import ProductionRows, sample_rows
from resources.storage.datasets import DatasetStore

SHARE_OF_WORDS = 0.2
SHARE_OF_ANSWERS = 0.1
"""Of the task's drift α; half of it is for scores, the rest for lengths."""

BETWEEN_LOOKS = timedelta(days=1)


def look_at_contents(
    database: Database,
    root: UPath,
    production: PromptVersionRecord,
    promoted_at: datetime,
    drift: DriftSpec,
    now: datetime,
) -> tuple[ContentCheck, ...]:
    """The newest looks at words and answers, made now if it is time for them and there are rows enough.

    Raises:
        DatabaseUnavailableError: the database cannot be read.
    """
    if not drift.contents:
        return ()
    with database.session(read_only=True) as session:
        kinds: tuple[ContentKind, ...] = ("words", "answers")
        (_, words), (first, answers) = (
            content_checks.first_and_latest(session, production.task, production.id, kind) for kind in kinds
        )
        dataset = dataset_versions.latest(session, production.task)
    latest = tuple(one for one in (words, answers) if one is not None)
    dataset = _without_known_words(dataset, words)
    contract = production.prompt.steps[-1].output
    choices = contract.choices if isinstance(contract, ChoiceContract) else ()
    since = max((one.until for one in latest), default=promoted_at)
    if now - since < BETWEEN_LOOKS or not (dataset or choices):
        return latest
    with database.session(read_only=True) as session:
        came = finished_batches.rows_finished_by(session, production.task, production.id, since, now)
    if came < drift.min_calls:
        return latest
    rows = sample_rows(database, root, production, since, now, MOST_ROWS)
    made = [
        _words(root, production, dataset, words, rows, drift, now) if dataset else None,
        _answers(production, choices, first, answers, rows, drift, now) if choices else None,
    ]
    with database.session() as session:
        for one in made:
            if one is not None:
                content_checks.save(session, one)
    newest = (new or old for new, old in zip(made, (words, answers), strict=True))
    return tuple(one for one in newest if one is not None)


def _without_known_words(dataset: DatasetVersion | None, latest: ContentCheck | None) -> DatasetVersion | None:
    """What words are still to be compared with: shown to be others, they stay so until the dataset is another."""
    if dataset is not None and latest is not None and latest.drifted and latest.dataset_version_id == dataset.id:
        return None
    return dataset


def _words(
    root: UPath,
    production: PromptVersionRecord,
    dataset: DatasetVersion,
    latest: ContentCheck | None,
    rows: ProductionRows,
    drift: DriftSpec,
    now: datetime,
) -> ContentCheck:
    look = latest.look + 1 if latest is not None else 1
    alpha = alpha_for_look(drift.alpha * SHARE_OF_WORDS, look)
    quiet = _quiet(production, "words", look, len(rows.words), alpha, now)
    quiet = replace(quiet, dataset_version_id=dataset.id)
    try:
        labelled = DatasetStore(root).sample_inputs(dataset, (Split.TRAIN, Split.DEV), MOST_ROWS)
        shift = compare_words([words_of(one) for one in labelled], rows.words, seed=look)
    except (InputError, NotFoundError):  # too few rows, or they are gone: nothing can be said
        return quiet
    return replace(
        quiet,
        rows=shift.rows[1],
        distance=shift.distance,
        p_value=shift.p_value,
        drifted=shift.p_value <= alpha and shift.distance >= drift.min_shift,
    )


def _answers(
    production: PromptVersionRecord,
    choices: Collection[str],
    first: ContentCheck | None,
    latest: ContentCheck | None,
    rows: ProductionRows,
    drift: DriftSpec,
    now: datetime,
) -> ContentCheck | None:
    counts = dict(sorted(Counter(one for one in rows.answers if one in choices).items()))
    if first is None or latest is None or first.counts is None:
        if not counts:
            return None
        reference = _quiet(production, "answers", 0, len(rows.answers), 0.0, now)
        return replace(reference, counts=counts)
    look = latest.look + 1
    alpha = alpha_for_look(drift.alpha * SHARE_OF_ANSWERS, look)
    quiet = replace(_quiet(production, "answers", look, len(rows.answers), alpha, now), counts=counts)
    try:
        shift = compare_classes(first.counts, counts)
    except InputError:  # no answer at all: nothing can be said
        return quiet
    drifted = shift.p_value <= alpha and shift.distance >= drift.min_shift
    return replace(quiet, distance=shift.distance, p_value=shift.p_value, drifted=drifted)


def _quiet(
    production: PromptVersionRecord, kind: ContentKind, look: int, rows: int, alpha: float, now: datetime
) -> ContentCheck:
    return ContentCheck(
        task=production.task,
        prompt_version_id=production.id,
        kind=kind,
        look=look,
        dataset_version_id=None,
        rows=rows,
        distance=0.0,
        p_value=1.0,
        alpha=alpha,
        drifted=False,
        counts=None,
        until=now,
    )
