"""When a row of a batch is complete."""

from __future__ import annotations

from typing import Any

import torch  # pyright: ignore[reportMissingImports] - an extra
from transformers import StoppingCriteria

from resources.llm.providers.huggingface.work import Work


class RowStopper(StoppingCriteria):
    """Notes each row's tokens and ends it by its own rules: end mark, length, stop sequences, nobody waiting."""

    def __init__(self, batch: list[Work], tokenizer: Any, end_ids: frozenset[int]) -> None:
        self._batch = batch
        self._tokenizer = tokenizer
        self._end_ids = end_ids
        self._done = [False] * len(batch)

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **_: Any) -> torch.BoolTensor:  # noqa: ARG002
        """Which rows are done, after the token that `input_ids` (rows × length) ends in."""
        newest = input_ids[:, -1].tolist()
        for row, work in enumerate(self._batch):
            if not self._done[row]:
                work.generated.append(newest[row])
                self._done[row] = self._complete(work) or work.dropped.is_set()
        return torch.tensor(self._done, dtype=torch.bool, device=input_ids.device)  # type: ignore[return-value]

    def _complete(self, work: Work) -> bool:
        ended = work.generated[-1] in self._end_ids
        said = work.generated[:-1] if ended else work.generated
        full = len(work.generated) >= work.request.max_output_tokens
        if not (ended or full or work.request.stop):
            return False
        text = self._tokenizer.decode(said, skip_special_tokens=True)
        places = [place for place in (text.find(stop) for stop in work.request.stop if stop) if place >= 0]
        work.text = text[: min(places)] if places else text
        work.finish_reason = "stop" if ended or places else "length"
        return ended or full or bool(places)
