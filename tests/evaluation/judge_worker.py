"""One evaluation that asks a model, in a process that a test kills: `judge_worker.py <folder> <port> <rows> <kind>`."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from evaluation.desk import Desk, rows_of, task_of

JUDGE: dict[str, Any] = {"kind": "judge", "model": "openai/judge", "rubric": "A good answer has many words."}
SIMILARITY: dict[str, Any] = {"kind": "embedding_similarity", "model": "embeddings/vectors"}
EVALUATORS = {one["kind"]: one for one in (JUDGE, SIMILARITY)}
CONCURRENCY = 8


def judged_task(kind: str) -> Any:
    return task_of([EVALUATORS[kind]], prompt={"output": {"kind": "text"}})


if __name__ == "__main__":
    endpoint = {"base_url": f"http://127.0.0.1:{sys.argv[2]}/v1", "api_key": "test-key"}
    desk = Desk(Path(sys.argv[1]), cast(Any, SimpleNamespace(endpoint=endpoint)), concurrency=CONCURRENCY)
    desk.evaluate(judged_task(sys.argv[4]), rows_of(int(sys.argv[3])))
