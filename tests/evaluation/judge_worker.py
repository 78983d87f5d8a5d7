"""One evaluation with a judge, in a process that a test kills: `python judge_worker.py <folder> <port> <rows>`."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from evaluation.desk import Desk, rows_of, task_of

JUDGE: dict[str, Any] = {"kind": "judge", "model": "openai/judge", "rubric": "A good answer has many words."}
CONCURRENCY = 8


def judged_task() -> Any:
    return task_of([JUDGE], prompt={"output": {"kind": "text"}})


if __name__ == "__main__":
    endpoint = {"base_url": f"http://127.0.0.1:{sys.argv[2]}/v1", "api_key": "test-key"}
    desk = Desk(Path(sys.argv[1]), cast(Any, SimpleNamespace(endpoint=endpoint)), concurrency=CONCURRENCY)
    desk.evaluate(judged_task(), rows_of(int(sys.argv[3])))
