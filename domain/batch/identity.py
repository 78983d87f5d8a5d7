"""What makes two batches the same one: then nobody pays twice."""

from __future__ import annotations

from domain.identity import content_id


def batch_id(
    task: str, rows_id: str, *, edition: int = 0, prompt_version_id: str | None = None, parent_id: str | None = None
) -> str:
    """The id (64 hex digits) of a batch.

    The same rows delivered twice to a task are the same batch, whatever the file's name or format, and whatever prompt
    is in production by then.

    Args:
        rows_id: SHA-256 of the rows, in order.
        edition: 0; whoever wants the same rows answered again asks for the next one.
        prompt_version_id: only where a person named one instead of production.
        parent_id: the batch whose dead letters these rows are.
    """
    return content_id(["batch", task, rows_id, edition, prompt_version_id, parent_id])
