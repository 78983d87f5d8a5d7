"""What a production prompt was asked and answered in the batches that it finished: a sample of bounded cost.

Batches are the only place that keeps what production is asked. The rows come from at most `MOST_CHUNKS` of their
chunks, those in the middles of as many equal parts of all rows, however many there are; a chunk that holds several
middles gives as many rows more. Texts leave here as hashed words only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

import orjson
from upath import UPath

from domain.batch.states import RowStatus
from domain.statistics.words import Words, words_of
from resources.batch_inference.results import read_part
from resources.batch_inference.snapshot import read_inputs
from resources.database.repositories import batch_chunks, finished_batches
from resources.database.repositories.batch_chunks import ChunkRecord
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database

MOST_CHUNKS = 100
MOST_BATCHES = 1_000


@dataclass(slots=True)
class ProductionRows:
    """A sample, in the order of batches and rows.

    Attributes:
        words: of each sampled row's inputs.
        answers: parsed answers of the sampled rows that have one.
    """

    words: list[Words] = field(default_factory=list[Words])
    answers: list[str] = field(default_factory=list[str])


def sample_rows(
    database: Database, root: UPath, production: PromptVersionRecord, since: datetime, until: datetime, most: int
) -> ProductionRows:
    """At most `most` rows of the batches that the prompt finished in [since, until), spread over all of them.

    Chunks whose files are gone, or cannot be read, are left out.

    Raises:
        DatabaseUnavailableError: the database cannot be read.
    """
    with database.session(read_only=True) as session:
        found = finished_batches.finished_by(session, production.task, production.id, since, until, MOST_BATCHES)
    sample = ProductionRows()
    passed = 0
    for batch, chunk, middles in _chosen(database, found):
        wanted = (passed + middles) * most // MOST_CHUNKS - passed * most // MOST_CHUNKS
        passed += middles
        _add(sample, root / batch.folder, chunk, wanted)
    return sample


def _chosen(database: Database, found: Sequence[BatchRecord]) -> Iterator[tuple[BatchRecord, ChunkRecord, int]]:
    """The chunks that hold middles, and how many."""
    rows = sum(one.rows for one in found)
    places = [(2 * part + 1) * rows // (2 * MOST_CHUNKS) for part in range(MOST_CHUNKS)]
    ends = list(accumulate(one.rows for one in found))
    for batch, end in zip(found, ends, strict=True):
        own = [place - (end - batch.rows) for place in places if end - batch.rows <= place < end]
        if not own:
            continue
        with database.session(read_only=True) as session:
            chunks = batch_chunks.list_chunks(session, batch.id)
        for chunk in chunks:
            middles = sum(chunk.first_row <= place + 1 <= chunk.last_row for place in own)
            if middles:
                yield batch, chunk, middles


def _add(sample: ProductionRows, folder: UPath, chunk: ChunkRecord, wanted: int) -> None:
    import pyarrow as pa

    try:
        inputs = read_inputs(folder, chunk.chunk)
        results = read_part(folder, chunk.path, ["status", "value"]) if chunk.path else []
    except (OSError, pa.ArrowException):
        return
    usable = [place for place, (_, problem) in enumerate(inputs) if problem is None]
    for number in range(min(wanted, len(usable))):
        place = usable[number * len(usable) // min(wanted, len(usable))]
        sample.words.append(words_of(orjson.loads(inputs[place][0])))
        result = results[place] if place < len(results) else None
        if result is not None and result["status"] == RowStatus.OK.value and result["value"] is not None:
            sample.answers.append(result["value"])
