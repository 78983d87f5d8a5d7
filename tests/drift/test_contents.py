"""What production is asked and answers, from the batches it finished: told once where it moved, and no text told."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drift.conftest import LABELS, PROMOTED, Production, Sensor
from servers.webhook import Webhook

from domain.statistics.words import MOST_ROWS
from resources.database.repositories import content_checks, prompt_versions
from resources.database.repositories.content_checks import ContentCheck, ContentKind
from resources.drift.production_rows import MOST_CHUNKS, ProductionRows, sample_rows

SECRET = "canary7f3a9"
OLD = ("card", "payment", "balance", "pin", "limit", "blocked", "fee", "account", "charge", "cash", "lost", "stolen")
NEW = ("crypto", "wallet", "token", "exchange", "staking", "coin", "ledger", "chain", "mining", "airdrop")


def sentences(random: np.random.Generator, rows: int, words: tuple[str, ...], canary: str = "") -> list[str]:
    return [
        " ".join([*random.choice(words, 5), f"ref{random.integers(10_000_000)}", canary]).strip() for _ in range(rows)
    ]


def newest(production: Production, prompt_id: str, kind: ContentKind) -> ContentCheck | None:
    with production.database.session(read_only=True) as session:
        return content_checks.first_and_latest(session, "colours", prompt_id, kind)[1]


def test_quiet_weeks_say_nothing(sensor: Sensor, hook: Webhook) -> None:
    production = sensor.production
    prompt = production.write(then="optimize")
    prompt_id = production.promote(prompt)
    production.label(sentences(production.random, 300, OLD))
    for day in range(5):
        production.batch(prompt, day + 0.5, sentences(production.random, 220, OLD))
        assert sensor.at(day + 1.01) == []
    assert hook.received == []
    words, answers = newest(production, prompt_id, "words"), newest(production, prompt_id, "answers")
    assert words is not None
    assert answers is not None
    assert (words.look, answers.look) == (5, 4)  # answers have their own first days to be compared with
    assert 150 < words.rows <= 220  # as many as the dataset has in train and dev
    assert answers.counts == {"card": 110, "transfer": 110}


def test_another_topic_is_told_once_until_the_dataset_has_it(sensor: Sensor, hook: Webhook, tmp_path: Path) -> None:
    production = sensor.production
    prompt = production.write(then="optimize", cooldown_days=0)
    prompt_id = production.promote(prompt)
    production.label(sentences(production.random, 400, OLD))
    requested = []
    for day in range(4):
        asked = sentences(production.random, 150, OLD) + sentences(production.random, 150, NEW, SECRET)
        production.batch(prompt, day + 0.5, asked)
        requested += sensor.at(day + 1.01)

    (request,) = requested
    (told,) = hook.received
    assert told["title"] == "Production of colours has drifted: words"
    assert "of a kind it has not" in told["lines"][0]
    assert 0.4 < told["facts"]["distance"] < 0.65
    assert request.partition_key == "colours"
    check = newest(production, prompt_id, "words")
    assert check is not None
    assert check.look == 1  # shown is shown: no further α is spent on it
    everything = (tmp_path / "promptory.db").read_bytes() + str(hook.received).encode() + str(sensor.cursor).encode()
    assert SECRET.encode() not in everything
    assert b"staking" not in everything

    production.label(sentences(production.random, 400, OLD) + sentences(production.random, 400, NEW, SECRET))
    asked = sentences(production.random, 150, OLD) + sentences(production.random, 150, NEW, SECRET)
    production.batch(prompt, 4.5, asked)
    assert sensor.at(5.01) == []
    after = newest(production, prompt_id, "words")
    assert after is not None
    assert (after.look, after.drifted) == (2, False)
    assert after.dataset_version_id != check.dataset_version_id


def test_other_labels_than_at_first_are_told(sensor: Sensor, hook: Webhook) -> None:
    production = sensor.production
    prompt = production.write(cooldown_days=0)
    prompt_id = production.promote(prompt)
    production.label(sentences(production.random, 300, OLD))
    for day, labels in enumerate((("card", "transfer"), ("card", "transfer"), ("card", "card", "card", "other"))):
        production.batch(prompt, day + 0.5, sentences(production.random, 400, OLD), labels)
        assert sensor.at(day + 1.01) == []
        assert len(hook.received) == (day == 2)
    (told,) = hook.received
    assert told["title"] == "Production of colours has drifted: answers"
    assert "50% give another label" in told["lines"][0]
    check = newest(production, prompt_id, "answers")
    assert check is not None
    assert check.counts == {"card": 300, "other": 100}


def test_a_drift_that_stays_hides_no_other(sensor: Sensor, hook: Webhook) -> None:
    production = sensor.production
    prompt = production.write(cooldown_days=0)
    prompt_id = production.promote(prompt)
    production.label(sentences(production.random, 300, OLD))
    for day in range(3):
        production.batch(prompt, day + 0.5, sentences(production.random, 300, NEW))
        production.calls(prompt_id, day, 300, centre=4.0 if day == 0 else 4.7)
        sensor.at(day + 1.01)
    assert [one["facts"]["drift"] for one in hook.received] == ["words", "inputs", "inputs"]


def test_rows_are_read_only_where_something_is_to_be_found(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[datetime] = []

    def counted(*given: Any) -> ProductionRows:
        read.append(given[4])
        return sample_rows(*given)

    monkeypatch.setattr("resources.drift.contents.sample_rows", counted)
    production = sensor.production
    prompt = production.write(output={"kind": "text"}, cooldown_days=0)
    prompt_id = production.promote(prompt)
    production.label(sentences(production.random, 300, OLD))
    for day in range(3):
        production.batch(prompt, day + 0.5, sentences(production.random, 300, NEW))
        sensor.at(day + 1.01)
    check = newest(production, prompt_id, "words")
    assert check is not None
    assert check.drifted
    assert len(read) == 1  # no label to look for, and the words are known to be others

    production.label(sentences(production.random, 300, OLD) + sentences(production.random, 300, NEW))
    sensor.at(3.02)
    assert len(read) == 2


def test_a_look_without_any_answer_is_not_made_again(sensor: Sensor) -> None:
    production = sensor.production
    prompt = production.write(cooldown_days=0)
    prompt_id = production.promote(prompt)
    production.label(sentences(production.random, 300, OLD))
    for day in range(2):
        production.batch(prompt, day + 0.5, sentences(production.random, 300, NEW), ("unknown",) if day else LABELS)
        sensor.at(day + 1.01)
    answers = newest(production, prompt_id, "answers")
    assert answers is not None
    assert (answers.look, answers.rows, answers.drifted) == (1, 0, False)


def test_contents_may_be_left_alone(sensor: Sensor) -> None:
    production = sensor.production
    prompt = production.write(contents=False)
    prompt_id = production.promote(prompt)
    production.label(sentences(production.random, 300, OLD))
    production.batch(prompt, 0.5, sentences(production.random, 300, NEW))
    sensor.at(1.01)
    assert newest(production, prompt_id, "words") is None


def test_a_sample_of_many_rows_is_bounded_and_spread(production: Production) -> None:
    prompt = production.write()
    production.promote(prompt)
    for day in range(3):
        production.batch(prompt, day + 0.5, [f"batch{day} row{number}" for number in range(500)], ("card",), chunk=10)
    with production.database.session(read_only=True) as session:
        record = prompt_versions.get(session, "colours", "production")
    until = PROMOTED.replace(day=9)
    sample = sample_rows(production.database, production.root, record, PROMOTED, until, MOST_ROWS)
    assert len(sample.words) == len(sample.answers) == 10 * MOST_CHUNKS  # of 150 chunks, and fewer than were wanted
    assert len(set(sample.words)) > 900  # two words of one hash are one

    (production.root / "batches" / f"{1:064x}" / "rows.parquet").write_bytes(b"PAR1 no more")
    fewer = sample_rows(production.database, production.root, record, PROMOTED, until, MOST_ROWS)
    assert 650 < len(fewer.words) < 680
