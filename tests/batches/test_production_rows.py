"""What drift reads of a batch that really ran: its words and labels, row by row, without what nobody was asked."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

from batches.conftest import NOW, Floor, label_of, write_csv

from domain.statistics.words import words_of
from resources.database.repositories import prompt_versions
from resources.drift.production_rows import sample_rows


def test_a_sample_holds_the_batches_rows_and_their_labels(floor: Floor, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", range(60))
    source.write_text(source.read_text() + "c60,\nc61,Crate number 61\n")
    batch = floor.add(source, max_rejected=0.2).record
    done = floor.run(batch.id)
    assert done.finished_at is not None
    with floor.database.session(read_only=True) as session:
        production = prompt_versions.get(session, "crates", "production")
    ended = done.finished_at + timedelta(seconds=1)

    sample = sample_rows(floor.database, floor.root, production, NOW, ended, 1_000)

    crates = [*range(60), 61]  # crate 60 has no text: nobody was asked
    assert sample.words == [words_of({"text": f"Crate number {number}"}) for number in crates]
    assert Counter(sample.answers) == Counter(label_of(number) for number in crates)
    assert len(sample_rows(floor.database, floor.root, production, NOW, ended, 14).words) == 14
    assert sample_rows(floor.database, floor.root, production, ended, ended, 10).words == []
