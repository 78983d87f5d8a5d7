"""What the page of a compression shows."""

from __future__ import annotations

from typing import Any

import dagster as dg

from assets.presentation.charts import as_markdown
from assets.presentation.prompt_diffs import diff_block
from assets.presentation.tables import dollars, markdown_table, percent
from assets.prompts.metadata import prompt_metadata
from domain.identity import short_id
from resources.compression.picture import front_figure
from resources.compression.run import Compression, Trial
from resources.database.repositories.effort import RunEffort

HEADER = ["", "variant", "prompt version", "shown", "score on dev", "cost of dev", "front"]


def compression_metadata(found: Compression, effort: RunEffort) -> dict[str, Any]:
    """Variants, picture, diff of the chosen one, decision, and what the run took in all its processes."""
    decision = found.contest.decision if found.contest else None
    result = found.chosen or found.production
    metadata: dict[str, Any] = {
        "run_id": found.run.id,
        "verdict": decision.verdict if decision else "nothing put to the gate",
        "reason": decision.reason if decision else found.nothing_chosen,
        "stopped_early": found.run.stop_reason or "no",
        "production_version_id": found.production.id,
        "result_version": result.version,
        "result_version_id": result.id,
        "variants": dg.MetadataValue.md(markdown_table(HEADER, _rows(found))),
        "quality_against_cost": dg.MetadataValue.md(as_markdown(front_figure(found), "Quality against cost")),
        "diff": dg.MetadataValue.md(diff_block(found.production, found.chosen, "Production stays as it is.")),
        **prompt_metadata(result.prompt),
        "run_calls": effort.calls,
        "run_tokens": effort.input_tokens + effort.output_tokens,
        "run_cost_usd": dollars(effort.cost_nano_usd),
    }
    if decision is not None:
        metadata["decision_id"] = decision.id
    if found.chosen is not None:
        chosen = next(one for one in found.trials if one.prompt_version_id == result.id)
        metadata["saving_on_dev"] = 1 - chosen.cost_nano_usd / found.trials[0].cost_nano_usd
        metadata["dev_score"] = chosen.score
    return metadata


def _cost(one: Trial, whole: int) -> str:
    share = f" ({one.cost_nano_usd / whole:.0%})" if whole else ""
    return f"${dollars(one.cost_nano_usd):.5f}{share}".replace(" ", "\N{NO-BREAK SPACE}")


def _rows(found: Compression) -> list[list[Any]]:
    chosen = found.chosen.id if found.chosen else None
    front = {one.prompt_version_id for one in found.front}
    whole = found.trials[0].cost_nano_usd
    return [
        [
            "★" if one.prompt_version_id == chosen else "",
            one.change,
            short_id(one.prompt_version_id),
            one.demonstrations,
            percent(one.score),
            _cost(one, whole),
            "yes" if one.prompt_version_id in front else "",
        ]
        for one in found.trials
    ]
