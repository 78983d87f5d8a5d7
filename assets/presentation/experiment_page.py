"""An experiment's report as one HTML page that needs no other file, server or script."""

from __future__ import annotations

from typing import Any

from assets.presentation.charts import as_data_url
from assets.presentation.experiment_tables import arm_rows, books_rows, comparison_rows
from domain.experiment.report import Report
from resources.experiments.reporting import LiveReport

_COLOURS = {
    "winner": "#2a9d8f",
    "futility": "#7a869a",
    "guardrail": "#c0392b",
    "mismatch": "#c0392b",
    "continue": "#2b3a55",
}
TITLES = {
    "winner": "There is a winner",
    "futility": "Nothing to win",
    "guardrail": "A guardrail is broken",
    "mismatch": "The assignment is broken",
    "continue": "Not decided yet",
}

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ name }} – experiment report</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #2b3a55; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.verdict { border-left: .5rem solid {{ colour }}; background: #f5f7fa; padding: .8rem 1rem; margin: 1.2rem 0; }
.verdict b { color: {{ colour }}; font-size: 1.15rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #e6e9ef; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; font-weight: 600; color: #5b6b86; }
img { max-width: 100%; } .dim { color: #5b6b86; }
</style></head><body>
<h1>{{ name }}</h1>
<div class="dim">{{ about }}</div>
<div class="verdict"><b>{{ title }}</b><br>{{ reason }}{% if ended %}<br><br>{{ ended }}{% endif %}</div>
<img alt="Gain, cost and latency over the units analysed" src="{{ picture }}">
{% for heading, header, rows in tables %}<h2>{{ heading }}</h2><div class="scroll"><table>
<tr>{% for cell in header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>{% endfor %}
<h2>Sample ratio</h2><p>{{ sample_ratio }}</p>
<p class="dim">Intervals are confidence sequences: they hold at all looks together, so this report may be made as often
as anybody likes. Costs and latencies above a cap set by the first answers count as it. Observations {{ seen }}.</p>
</body></html>
"""


def experiment_page(live: LiveReport, picture: bytes) -> str:
    """The page; whatever people named is escaped.

    Args:
        picture: a PNG.
    """
    from jinja2 import Environment

    report = live.report
    template = Environment(autoescape=True).from_string(_PAGE)
    return template.render(
        name=report.experiment,
        about=about(live),
        colour=_COLOURS[report.verdict.kind],
        title=TITLES[report.verdict.kind],
        reason=report.verdict.reason,
        ended=ended(live),
        picture=as_data_url(picture),
        tables=_tables(live, report),
        sample_ratio=report.sample_ratio.sentence,
        seen=live.observations_id[:12],
    )


def about(live: LiveReport) -> str:
    """Task, time and size in one line."""
    record = live.started.record
    size = f"{live.bookkeeping.units:,} units, {live.report.analysed:,} analysed"
    since, made = (f"{moment:%Y-%m-%d %H:%M} UTC" for moment in (record.started_at, live.made_at))
    return f"Task {record.task} · since {since} · {size} · made {made}"


def ended(live: LiveReport) -> str:
    """How the experiment ended; empty while it runs."""
    record = live.started.record
    if record.stopped_at is None:
        return ""
    decided = f" The recorded decision: {live.decision.verdict}." if live.decision else ""
    why = "" if record.stop_reason == live.report.verdict.reason else f" {record.stop_reason}"
    return f"Stopped {record.stopped_at:%Y-%m-%d %H:%M} UTC by {record.stopped_by} ({record.stop_kind}).{why}{decided}"


def _tables(live: LiveReport, report: Report) -> list[tuple[str, list[str], list[list[Any]]]]:
    return [
        ("Variants", *arm_rows(live)),
        (f"Compared with {report.control}", *comparison_rows(report)),
        ("Where everything went", *books_rows(live.bookkeeping)),
    ]
