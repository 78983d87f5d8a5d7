"""What a search shows while it runs: not a flood."""

from __future__ import annotations

from assets.optimization.live_view import LiveView
from resources.dspy_runtime.progress import SearchState
from resources.observability.progress import Progress, board


def test_a_line_at_each_new_best_and_else_every_fifteen_seconds() -> None:
    lines: list[str] = []
    now = [100.0]
    shown: list[Progress] = []
    view = LiveView(lines.append, lambda: now[0])
    with board.listening(shown.append):
        for answers in range(1, 1_001):
            now[0] += 1 / 16  # about a minute in all
            best = None if answers < 200 else 0.5 if answers < 700 else 0.75
            view(SearchState(answers, answers // 200, best, 2_000_000 * answers))
    assert [line.partition(" answers")[0] for line in lines] == ["200", "440", "680", "700", "940"]
    assert lines[0] == "200 answers, 1 candidate, best 50.0% on dev, 0.4000 USD (new best)"
    assert lines[1].endswith("0.8800 USD")
    assert len(shown) == 1_000
    assert shown[-1] == Progress("optimize", 1_000, None, "5 candidates, best 75.0% on dev, 2.0000 USD")
