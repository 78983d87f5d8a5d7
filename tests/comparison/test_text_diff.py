from __future__ import annotations

from comparison.conftest import prompt
from hypothesis import given
from hypothesis import strategies as st

from domain.prompt import PromptStep
from resources.comparison.text_diff import CONTEXT, DiffRow, compare_prompts, side_by_side

LINES = st.lists(st.text("ab c", max_size=6), max_size=30)


def text(rows: tuple[DiffRow, ...], side: str) -> list[str]:
    kinds = {"before": ("same", "changed", "removed"), "after": ("same", "changed", "added")}[side]
    return ["".join(piece.text for piece in getattr(row, side)) for row in rows if row.kind in kinds]


@given(LINES, LINES)
def test_each_side_is_its_text_in_order_and_nothing_else(before: list[str], after: list[str]) -> None:
    rows = side_by_side(before, after)
    skipped = sum(row.skipped for row in rows)
    for side, lines in (("before", before), ("after", after)):
        shown = text(rows, side)
        assert len(shown) + skipped == len(lines)
        if not skipped:
            assert shown == lines


@given(LINES)
def test_equal_texts_differ_nowhere(lines: list[str]) -> None:
    assert {row.kind for row in side_by_side(lines, lines)} <= {"same"}


def test_the_words_that_differ_are_marked() -> None:
    (row,) = side_by_side(["Choose the team that can help."], ["Choose one team that can help."])
    assert row.kind == "changed"
    assert [(piece.text, piece.marked) for piece in row.before] == [
        ("Choose ", False),
        ("the", True),
        (" team that can help.", False),
    ]
    assert [piece.text for piece in row.after if piece.marked] == ["one"]


def test_lines_that_have_little_in_common_are_no_change_of_each_other() -> None:
    kinds = [row.kind for row in side_by_side(["Choose the team."], ["Never answer in rhymes or riddles!"])]
    assert kinds == ["removed", "added"]


def test_long_stretches_of_the_same_are_folded() -> None:
    lines = [f"line {number}" for number in range(40)]
    changed = [*lines[:20], "quite another one", *lines[21:]]
    rows = side_by_side(lines, changed)
    assert [row.skipped for row in rows if row.kind == "gap"] == [20 - CONTEXT, 19 - CONTEXT]


def test_every_part_of_a_prompt_is_compared() -> None:
    before, after = prompt(), prompt("Say yes, or no.", [("is it?", "yes")])
    sections = {section.title: section for section in compare_prompts(before, after)}
    assert [title for title, section in sections.items() if section.differs] == ["System prompt", "Demonstrations"]
    demonstrations = sections["Demonstrations"]
    assert (demonstrations.removed, demonstrations.added, demonstrations.kept) == (0, 2, False)
    assert text(demonstrations.rows, "after") == ["text: is it?", "→ yes"]


def test_steps_are_matched_by_name() -> None:
    first = PromptStep(name="draft", output_prompt="{{ text }}")
    second = PromptStep(name="answer", output_prompt="{{ draft }}")
    before, after = prompt().with_steps((first, second)), prompt().with_steps((second,))
    sections = {section.title: section for section in compare_prompts(before, after)}
    assert sections["Step draft: Output prompt (the template)"].removed == 1
    assert not sections["Step answer: Output prompt (the template)"].differs
