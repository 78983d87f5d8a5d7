"""Two prompt versions as one block of changed lines."""

from __future__ import annotations

from domain.prompt_text import prompt_diff
from resources.database.repositories.prompt_versions import PromptVersionRecord

SHOWN_LINES = 400


def diff_block(before: PromptVersionRecord, after: PromptVersionRecord | None, unchanged: str) -> str:
    """The changed lines as markdown, cut to `SHOWN_LINES`; `unchanged` where there are none."""
    if after is None:
        return unchanged
    lines = prompt_diff(f"v{before.version}", f"v{after.version}", before.prompt, after.prompt)
    if not lines:
        return unchanged
    more = [f"… and {len(lines) - SHOWN_LINES} more lines"] if len(lines) > SHOWN_LINES else []
    body = "\n".join([*lines[:SHOWN_LINES], *more])
    return f"````diff\n{body}\n````"
