"""Choosing each row's next token by that row's own temperature, nucleus and seed."""

from __future__ import annotations

import hashlib
import secrets

import torch  # pyright: ignore[reportMissingImports] - an extra
from transformers import LogitsProcessor

from resources.llm.providers.huggingface.work import Work


class RowSampler(LogitsProcessor):
    """Leaves one token per row possible, so that greedy search takes it.

    Rows of one batch then differ in temperature and seed freely, and a seeded row draws from a generator of its own:
    what else is in the batch does not shift its draws.
    """

    def __init__(self, batch: list[Work]) -> None:
        self._rows = [(row, work.request, _generator(work)) for row, work in enumerate(batch)]
        self._rows = [entry for entry in self._rows if entry[1].temperature > 0]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Scores (rows × vocabulary) with all but the drawn token at minus infinity in sampled rows."""
        for row, request, generator in self._rows:
            chances = torch.softmax(scores[row].float().cpu() / request.temperature, dim=-1)
            if request.top_p is not None:
                chances = _nucleus(chances, request.top_p)
            drawn = torch.multinomial(chances, 1, generator=generator)
            scores[row] = float("-inf")
            scores[row, drawn.to(scores.device)] = 0.0
        return scores


def _nucleus(chances: torch.Tensor, top_p: float) -> torch.Tensor:
    """The fewest tokens that hold `top_p` of the mass; never none."""
    ordered, places = torch.sort(chances, descending=True)
    before = torch.cumsum(ordered, dim=-1) - ordered
    ordered[(before >= top_p) & (torch.arange(len(ordered)) > 0)] = 0.0
    return torch.zeros_like(chances).scatter_(0, places, ordered)


def _generator(work: Work) -> torch.Generator:
    request = work.request
    if request.seed is None:
        number = secrets.randbits(63)
    else:
        # Each numbered sample of a seeded request is a draw of its own.
        digest = hashlib.sha256(f"{request.seed}:{request.sample}".encode()).digest()
        number = int.from_bytes(digest[:8], "big") >> 1
    return torch.Generator().manual_seed(number)
