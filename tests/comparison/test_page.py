"""The page: everything on it, nothing outside it, and no row that can act on its reader."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from comparison.conftest import MakeComparison, Pair, examples, prompt
from upath import UPath

from domain.errors import InputError
from resources.comparison.comparison import count
from resources.comparison.page import SHOWN_FLIPS, render, write_page

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=alert(1)>",
    "</dd></dl></main><iframe src='https://example.org'></iframe>",
    '"><a href="javascript:alert(1)">x</a>',
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; & nul \0 half \ud800 ‮ right-to-left",
)
MIXED: list[Pair] = [
    ("one", "yes", "no", 0.0, "yes", 1.0),
    ("two", "yes", "yes", 1.0, "no", 0.0),
    ("three", "no", "no", 1.0, "no", 1.0),
    ("four", "no", "yes", 0.0, "no", 1.0),
    ("five", "no", "yes", 0.25, "maybe", 0.5),
]


class Reader(HTMLParser):
    """Collects a page's elements and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def says(self, words: str) -> bool:
        return words in " ".join("".join(self.text).split())


def test_a_page_holds_scores_difference_labels_and_flips(make_comparison: MakeComparison) -> None:
    page = Reader(render(make_comparison(MIXED)))
    for words in (
        "triage: v1 → v2",
        "5 rows of the test split",
        "+25.0 points",
        "v2 does better on 3, worse on 1, the same on 1 of 5 rows",
        "cost of 1,000 rows",
        "+100 %",
        "−50 %",
        "Better with v2 3 rows",
        "Worse with v2 1 row",
        "row-1",
        "sealed test split",
    ):
        assert page.says(words.replace(" %", "\N{NO-BREAK SPACE}%")) or page.says(words), words


def test_a_page_needs_nothing_else(make_comparison: MakeComparison) -> None:
    page = Reader(render(make_comparison(MIXED)))
    assert {"script", "link", "img", "iframe", "object", "a", "form"}.isdisjoint(page.tags)
    assert {"src", "href", "srcset", "action", "data"}.isdisjoint(page.attributes)
    assert "url(" not in render(make_comparison(MIXED))


def test_whatever_rows_and_prompts_hold_is_shown_as_text(make_comparison: MakeComparison, tmp_path: Path) -> None:
    pairs: list[Pair] = [(text, text, "no", 0.0, text, 1.0) for text in HOSTILE]
    pairs += [(text, {"deep": [text]}, text, 1.0, "no", 0.0) for text in HOSTILE]
    hostile = "\n".join(text.replace("\ud800", "") for text in HOSTILE)
    comparison = make_comparison(
        pairs, prompt(hostile), prompt(f"{hostile}\nmore", [(text.replace("\ud800", ""), "x") for text in HOSTILE]),
        notes=HOSTILE,
    )  # fmt: skip
    path = write_page(comparison, UPath(tmp_path / "new" / "page.html"))
    page = Reader(path.read_text(encoding="utf-8"))
    plain = Reader(render(make_comparison(MIXED)))
    assert set(page.tags) <= set(plain.tags) | {"b"}
    assert not [name for name in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert page.says(HOSTILE[0])
    assert page.says("{{ 7 * 7 }}")


def test_many_flips_are_cut_and_counted(make_comparison: MakeComparison) -> None:
    pairs: list[Pair] = [(f"row {n}", "yes", "no", 0.0, "yes", 1.0) for n in range(SHOWN_FLIPS + 3)]
    page = Reader(render(make_comparison(pairs)))
    assert page.tags.count("dl") == SHOWN_FLIPS
    assert page.says("… and 3 more")


def test_versions_without_shared_rows_are_compared_by_their_texts(make_comparison: MakeComparison) -> None:
    comparison = make_comparison(MIXED, figures=None, split=None, notes=("They share no rows.",))
    page = Reader(render(comparison))
    assert page.says("They share no rows.")
    assert page.says("System prompt")
    assert not page.says("By expected label")


def test_texts_are_no_labels() -> None:
    pairs: list[Pair] = [(f"{n}", f"text {n}", "a", 0.0, "b", 1.0) for n in range(9)]
    assert count(examples(pairs, 0), examples(pairs, 1)).labels == ()
    labels = count(examples(MIXED, 0), examples(MIXED, 1)).labels
    assert [(line.label, line.rows) for line in labels] == [("no", 3), ("yes", 2)]


def test_other_rows_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="not of the same rows"):
        count(examples(MIXED, 0), examples(MIXED[1:], 1)[:2])


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")
def test_a_browser_shows_it_on_a_phone_and_runs_nothing(make_comparison: MakeComparison, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    long = "x" * 400
    pairs: list[Pair] = [*MIXED, *[(text + long, text, long, 0.0, text, 1.0) for text in HOSTILE]]
    path = write_page(make_comparison(pairs, prompt(long), prompt(long + "y")), UPath(tmp_path / "page.html"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        try:
            backgrounds = set()
            for scheme in ("light", "dark"):
                tab = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800}).new_page()
                asked: list[str] = []
                tab.on("request", lambda request, asked=asked: asked.append(request.url))
                tab.goto(f"file://{path}")
                assert tab.title() == "triage: v1 → v2"
                assert tab.evaluate("document.documentElement.scrollWidth") <= 390
                assert asked == [f"file://{path}"]
                backgrounds.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert len(backgrounds) == 2
        finally:
            browser.close()
