"""Texts compared by their words: false alarms as rare as promised, new topics found, nothing of a text kept."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.banking_task import DATA_VARIABLE, data_folder, read_rows
from domain.errors import InputError
from domain.statistics.alpha_spending import alpha_for_look
from domain.statistics.shift import compare_classes
from domain.statistics.words import LEAST_ROWS, SLOTS, Words, compare_words, words_of

ALPHA = 0.05
# The long harness runs at 1/50 of its scale; PROMPTORY_DRIFT_PROMPTS=2000 runs all of it.
PROMPTS = int(os.environ.get("PROMPTORY_DRIFT_PROMPTS", "40"))


def texts(random: np.random.Generator, rows: int, first_word: int = 0) -> list[Words]:
    """Rows of a dozen words whose frequencies fall as in natural language (Zipf)."""
    chances = 1 / np.arange(1, 801)
    chances /= chances.sum()
    lengths = np.maximum(1, random.poisson(12, rows))
    drawn = random.choice(800, int(lengths.sum()), p=chances) + first_word
    return [frozenset(part.tolist()) for part in np.split(drawn, np.cumsum(lengths)[:-1])]


def templates(random: np.random.Generator, rows: int, written: Sequence[Words]) -> list[Words]:
    """Rows most of which somebody sent before: what comes of forms and canned sentences."""
    chances = 1 / np.arange(1, len(written) + 1) ** 0.7
    return [written[place] for place in random.choice(len(written), rows, p=chances / chances.sum())]


def refuse_more_than(alarms: int, prompts: int, alpha: float) -> None:
    assert alarms / prompts <= alpha + 3 * (alpha * (1 - alpha) / prompts) ** 0.5


@pytest.mark.parametrize("repeated", [False, True])
def test_inputs_that_do_not_change_alarm_as_rarely_as_promised(repeated: bool) -> None:
    """All looks at a prompt together, the dataset larger than a look's rows, with and without repeated rows."""
    random = np.random.default_rng(20261126)
    written = texts(random, 300)
    alarms = 0
    for prompt in range(PROMPTS):
        dataset, *looks = (
            templates(random, rows, written) if repeated else texts(random, rows) for rows in (400, 150, 150, 150, 150)
        )
        alarms += any(
            compare_words(dataset, rows, seed=100 * prompt + look).p_value <= alpha_for_look(ALPHA, look)
            for look, rows in enumerate(looks, 1)
        )
    refuse_more_than(alarms, PROMPTS, ALPHA)


def test_p_values_of_equal_samples_are_spread_as_they_should_be() -> None:
    random = np.random.default_rng(5)
    found = np.array([compare_words(texts(random, 200), texts(random, 120), seed=n).p_value for n in range(PROMPTS)])
    for level in (0.05, 0.1, 0.2, 0.5):
        refuse_more_than(int((found <= level).sum()), PROMPTS, level)


def test_a_new_topic_is_found_and_its_share_told() -> None:
    random = np.random.default_rng(3)
    for share, most in ((0.2, 1e-3), (0.5, 1e-20)):
        new = int(600 * share)
        current = texts(random, 600 - new) + texts(random, new, first_word=5_000)
        shift = compare_words(texts(random, 2_000), current, seed=1)
        assert shift.p_value < most
        assert share - 0.1 < shift.distance < share + 0.1


def test_new_intents_of_bank_customers_are_found() -> None:
    """A dataset that lacks five of 77 intents; two fifths of what production is asked are of these."""
    folder = data_folder()
    if folder is None:
        pytest.skip(f"banking77 is not here: set {DATA_VARIABLE} to the folder that holds banking77/")
    rows = read_rows(folder)
    random = np.random.default_rng(8)
    new = set(random.choice(sorted({label for _, label in rows}), 5, replace=False))
    old, fresh = (
        [words_of({"text": text}) for text, label in rows if (label in new) is inside] for inside in (False, True)
    )
    order = random.permutation(len(old))
    dataset, same = [old[place] for place in order[:2_000]], [old[place] for place in order[2_000:2_600]]
    asked = same[:360] + [fresh[place] for place in random.permutation(len(fresh))[:240]]
    assert compare_words(dataset, same, seed=1).p_value > ALPHA
    assert compare_words(dataset, asked, seed=1).p_value < 1e-6


def test_a_text_that_comes_again_and_again_is_no_new_topic() -> None:
    random = np.random.default_rng(11)
    current = texts(random, 200)
    shift = compare_words(texts(random, 400), current + [current[0]] * 200, seed=2)
    assert shift.p_value > 0.01
    assert shift.rows[1] <= 201


@given(st.integers(0, 2**32 - 1), st.integers(LEAST_ROWS, 90), st.integers(LEAST_ROWS, 90))
@settings(max_examples=15, deadline=None)
def test_figures_stay_in_their_ranges_and_depend_on_the_seed_alone(seed: int, first: int, second: int) -> None:
    random = np.random.default_rng(seed)
    # Long rows: short ones could repeat, and too few different ones are refused.
    one, other = ([row | {900 + n} for n, row in enumerate(texts(random, rows))] for rows in (first, second))
    shift = compare_words(one, other, seed=seed)
    assert 0 < shift.p_value <= 1
    assert 0 <= shift.auc <= 1
    assert shift.distance == max(0.0, 2 * shift.auc - 1)
    assert shift == compare_words(one, other, seed=seed)


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=200), max_size=3))
@settings(deadline=None)
def test_every_text_has_words_as_numbers(inputs: dict[str, str]) -> None:
    found = words_of(inputs)
    assert all(0 <= word < SLOTS for word in found)
    assert found == words_of({name: text + " " for name, text in inputs.items()})


def test_what_counts_as_a_word() -> None:
    assert words_of({"text": "My card, my CARD!"}) == words_of({"text": "card my"})
    assert words_of({"text": "card"}) != words_of({"title": "card"})
    assert len(words_of({"text": "請問退款"})) == 3  # no spaces: every two characters
    assert len(words_of({"text": "x" * 10_000})) == 1
    assert words_of({"text": "?!"}) == frozenset()


def test_rows_without_any_word_in_common_or_at_all_say_what_can_be_said() -> None:
    alike = [frozenset({number}) for number in range(60)]
    assert compare_words(alike, [frozenset({100 + number}) for number in range(60)], seed=1).p_value == 1
    with pytest.raises(InputError, match="1 different rows"):
        compare_words([frozenset()] * 500, alike, seed=1)
    with pytest.raises(InputError, match="different rows"):
        compare_words(alike[:39], alike, seed=1)


def counts(random: np.random.Generator, rows: int, shares: Sequence[float]) -> dict[str, int]:
    return {f"label-{n}": int(count) for n, count in enumerate(random.multinomial(rows, shares)) if count}


def test_answers_that_do_not_change_alarm_as_rarely_as_promised() -> None:
    random, prompts, alarms = np.random.default_rng(4), 300, 0
    for _ in range(prompts):
        shares = random.dirichlet(np.full(12, 0.5)).tolist()  # some labels common, some hardly ever given
        reference = counts(random, 500, shares)
        alarms += any(
            compare_classes(reference, counts(random, 500, shares)).p_value <= alpha_for_look(ALPHA, look)
            for look in range(1, 6)
        )
    refuse_more_than(alarms, prompts, ALPHA)


def test_answers_that_change_are_found() -> None:
    shift = compare_classes({"a": 300, "b": 195, "c": 3, "d": 2}, {"a": 200, "b": 190, "e": 110})
    assert shift.p_value < 1e-6
    assert shift.distance == pytest.approx(0.21, abs=0.02)
    assert shift.classes == 3


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 300), min_size=1))
def test_answers_like_the_reference_are_no_shift(same: dict[str, int]) -> None:
    shift = compare_classes(same, same)
    assert shift.p_value == pytest.approx(1)
    assert shift.distance == pytest.approx(0)
    with pytest.raises(InputError):
        compare_classes(same, {})
