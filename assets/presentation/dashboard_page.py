"""The dashboard as one HTML page that needs no other file, server or script."""

from __future__ import annotations

from datetime import datetime

from assets.presentation.dashboard_charts import (
    as_svg,
    budget_figure,
    cost_figure,
    latency_figure,
    rates_figure,
    score_figure,
)
from domain.identity import short_id
from resources.metrics.dashboard import SHOWN_TASKS, Dashboard, ScorePoint

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Promptory</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #2b3a55; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.tile { background: #f5f7fa; border-radius: .4rem; padding: .7rem 1rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.3; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
td, th { text-align: right; padding: .35rem 0 .35rem 1rem; border-bottom: 1px solid #e6e9ef; white-space: nowrap; }
td:first-child, th:first-child { text-align: left; padding-left: 0; } th { font-weight: 600; color: #5b6b86; }
figure { margin: 1.2rem 0; } svg { width: 100%; height: auto; } .dim { color: #5b6b86; }
</style></head><body>
<h1>Promptory</h1>
<div class="dim">{{ first }} to {{ last }} (UTC days) · made {{ made }} UTC</div>
<div class="tiles">{% for told, value in tiles %}<div class="tile">{{ told }}<b>{{ value }}</b></div>{% endfor %}</div>
{% for picture in pictures %}<figure>{{ picture | safe }}</figure>
{% endfor %}
<h2>Tasks</h2><div class="scroll"><table>
<tr>{% for cell in header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% if more %}<p class="dim">… and {{ more }} more tasks, in the mart <code>cost_by_task</code>.</p>{% endif %}
<p class="dim">Money is what the ledger charged, attempts whose outcome nobody knows included ({{ ambiguous }} of it).
Latency leaves out cached answers. The figures are those of the metric tables, which a check sets against the ledger,
to the nano-dollar, each time they are built.</p>
</body></html>
"""
_HEADER = ("task", "calls", "cost", "per answer", "from the cache", "fallbacks", "last test score", "prompt version")
NOTHING = "–"


def dashboard_page(found: Dashboard, made_at: datetime) -> str:
    """The page; whatever people named is escaped, in pictures too."""
    from jinja2 import Environment

    pictures = [cost_figure(found), latency_figure(found), rates_figure(found)]
    if found.scores:
        pictures.insert(1, score_figure(found))
    if found.budgets:
        pictures.append(budget_figure(found))
    return (
        Environment(autoescape=True)
        .from_string(_PAGE)
        .render(
            first=found.days[0].isoformat(),
            last=found.days[-1].isoformat(),
            made=f"{made_at:%Y-%m-%d %H:%M}",
            tiles=headline(found),
            pictures=[as_svg(one) for one in pictures],
            header=_HEADER,
            rows=_rows(found),
            more=max(0, len(found.tasks) - SHOWN_TASKS),
            ambiguous=usd(found.ambiguous_nano_usd),
        )
    )


def headline(found: Dashboard) -> list[tuple[str, str]]:
    """What stands at the top: a word and its figure."""
    answered = sum(one.answered for one in found.tasks)
    hits = sum(one.cache_hits for one in found.tasks)
    fallbacks = sum(one.fallbacks for one in found.tasks)
    last = sum(series.values[-1] or 0.0 for series in found.cost)
    return [
        (f"Cost in {len(found.days)} days", usd(found.cost_nano_usd)),
        (f"Cost on {found.days[-1]:%d %b}", usd(round(last * 1e9))),
        ("Calls", f"{found.calls:,}"),
        ("From the cache", _percent(hits, answered)),
        ("Fallbacks", _percent(fallbacks, found.calls)),
    ]


def usd(nano: int) -> str:
    """Dollars with as many places as say something."""
    dollars = nano / 1e9
    if abs(dollars) >= 1 or not nano:
        return f"${dollars:,.2f}"
    whole, _, places = f"{dollars:.{6 if abs(nano) >= 1_000 else 9}f}".rstrip("0").partition(".")
    return f"${whole}.{places:0<2}"


def _rows(found: Dashboard) -> list[tuple[str, ...]]:
    latest = {point.task: point for point in found.scores}
    return [
        (
            one.task,
            f"{one.calls:,}",
            usd(one.cost_nano_usd),
            usd(round(one.cost_nano_usd / one.answered)) if one.answered else NOTHING,
            _percent(one.cache_hits, one.answered),
            _percent(one.fallbacks, one.calls),
            *_score(latest.get(one.task)),
        )
        for one in found.tasks[:SHOWN_TASKS]
    ]


def _score(point: ScorePoint | None) -> tuple[str, str]:
    if point is None:
        return NOTHING, NOTHING
    told = f"{100 * point.score:.1f} %"
    if point.low is not None and point.high is not None:
        told += f" [{100 * point.low:.1f} – {100 * point.high:.1f}]"
    return told, short_id(point.prompt_version_id)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else NOTHING
