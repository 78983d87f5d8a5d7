"""Rows as the requests of jobs: rendered as every caller renders them, priced, cut to what one job takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from domain.batch.options import check_handing_over
from domain.batch.provider_jobs import RowReserve
from domain.batch.rows import InputRow
from domain.errors import InputError, ProviderError
from domain.pricing import ModelPrice
from domain.prompt import PromptVersion
from domain.rendering import StepRenderer
from resources.batch_inference.answering import batch_scopes
from resources.database.repositories.batches import BatchRecord
from resources.llm.prompt_request import build_request
from resources.llm.provider_batches import ProviderBatches
from resources.llm.types import Request

YIELD_EVERY = 100
"""Rows rendered before the event loop may do something else: leases and heartbeats must not wait."""

LINE_BYTES = 2_000
BYTES_PER_TOKEN = 16
"""Of an answer, JSON escapes included: tokens of real text have four on average."""


@dataclass(slots=True)
class JobDraft:
    """Rows that go into one job, and what that may cost at worst."""

    reserves: list[RowReserve] = field(default_factory=list[RowReserve])
    price: ModelPrice | None = None
    reserve_nano_usd: int = 0
    direct_nano_usd: int = 0
    input_bytes: int = 0
    output_bytes: int = 0


class BatchRequests:
    """The requests of one batch's round.

    Raises:
        InputError: the prompt has several steps.
    """

    def __init__(self, core: ProviderBatches, batch: BatchRecord, prompt: PromptVersion, round_number: int) -> None:
        check_handing_over(batch.settings.how, len(prompt.steps))
        self._core = core
        self._api = core.api(prompt.model)
        self._prompt = prompt
        self._renderer = StepRenderer(prompt.steps[0])
        self._sample = round_number or None
        self._scopes = batch_scopes(batch)

    def request(self, row: InputRow) -> Request:
        """The request that serving and direct asking send for the row.

        Raises:
            TemplateError: the row does not fill the template.
        """
        return build_request(self._prompt, self._renderer.render(row.inputs), self._sample)

    async def drafts(self, rows: Iterable[InputRow]) -> tuple[list[JobDraft], list[tuple[InputRow, str]]]:
        """The rows in as few jobs as the provider's limits allow, and those that cannot be asked, with the reason.

        Raises:
            ConfigurationError: the model has no price under a cap, or no budget where one is required.
            StateUnavailableError: the caps cannot be looked up.
        """
        limits = self._api.limits
        drafts: list[JobDraft] = []
        unusable: list[tuple[InputRow, str]] = []
        for count, row in enumerate(rows, start=1):
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            try:
                request = self.request(row)
                size = len(self._api.line("0" * 32, request)) + 1
            except (InputError, ProviderError) as error:
                unusable.append((row, error.problem))
                continue
            quote = await self._core.quote(request, self._scopes)
            back = LINE_BYTES + BYTES_PER_TOKEN * quote.output_tokens
            draft = drafts[-1] if drafts else None
            if (
                draft is None
                or len(draft.reserves) == limits.requests
                or draft.input_bytes + size > limits.input_bytes
                or draft.output_bytes + back > limits.output_bytes
            ):
                draft = JobDraft(price=quote.price)
                drafts.append(draft)
            draft.reserves.append(
                RowReserve(row.number, quote.reserve_nano_usd, quote.input_tokens, quote.output_tokens)
            )
            draft.reserve_nano_usd += quote.reserve_nano_usd
            draft.direct_nano_usd += quote.direct_nano_usd
            draft.input_bytes += size
            draft.output_bytes += back
        return drafts, unusable

    async def file(self, rows: Sequence[tuple[str, InputRow]]) -> bytes:
        """The file of a job, from custom ids and rows."""
        lines: list[bytes] = []
        for count, (custom_id, row) in enumerate(rows, start=1):
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            lines.append(self._api.line(custom_id, self.request(row)))
        return b"\n".join(lines) + b"\n"
