"""The provider: models loaded when first named, each behind its own batcher, all in one worker thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from domain.errors import FaultClass, ProviderError
from domain.pricing import Usage
from resources.llm.providers.huggingface.batcher import Batcher
from resources.llm.providers.huggingface.options import HuggingFaceOptions, read_options
from resources.llm.providers.huggingface.work import Work
from resources.llm.providers.tokens import byte_token_bound
from resources.llm.types import ProviderAnswer, Request

if TYPE_CHECKING:
    from resources.llm.providers.huggingface.model import LoadedModel
    from resources.llm.settings import EndpointSettings


class HuggingFaceProvider:
    """Models of the transformers library in this process. Belongs to the event loop of its first call.

    Every model that was named stays in memory until `close`.

    Raises:
        ConfigurationError: torch is not installed, or an option is not usable.
    """

    def __init__(self, settings: EndpointSettings | None) -> None:
        self._options = read_options(settings)
        # One thread: generation uses all cores (or the one device) by itself.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="huggingface")
        self._models: dict[str, asyncio.Task[Batcher]] = {}
        self._closed = False

    def input_token_bound(self, request: Request) -> int:
        """Exactly the input tokens that will be counted; before the model is loaded, the bound of `tokens`."""
        loading = self._models.get(_name(request))
        if loading is None or not loading.done() or loading.cancelled() or loading.exception():
            return byte_token_bound(request)
        try:
            return len(loading.result().model.encode(request.messages))
        except ProviderError:
            return byte_token_bound(request)  # `send` says what is wrong with it

    async def send(self, request: Request, timeout_s: float) -> ProviderAnswer:
        """Make one attempt, as `Provider.send`. Cancelling it stops its generation at the next token.

        Raises:
            ProviderError: with the fault's class; `never_sent` where no token was generated for it.
        """
        _refuse_unknown(request)
        work: Work | None = None
        try:
            async with asyncio.timeout(timeout_s):
                batcher = await self._batcher(_name(request))
                work = Work(request, batcher.model.encode(request.messages))
                _refuse_too_long(work, batcher.model)
                await batcher.answer(work)
        except TimeoutError:
            failure = _timeout_error(timeout_s, work)
        else:
            return _answer(work)
        raise failure

    async def check(self) -> None:
        """Load torch and reach the device. Loads no model.

        Raises:
            ProviderError: the machine has no such device.
        """
        self._refuse_closed()
        await asyncio.get_running_loop().run_in_executor(self._worker, _check_device, self._options)

    async def close(self) -> None:
        """Stop generating and let go of the models. Safe to call twice; a closed provider answers no more."""
        if self._closed:
            return
        self._closed = True
        if self._models:
            await self._let_go()
            await asyncio.get_running_loop().run_in_executor(self._worker, _free_memory)
        self._worker.shutdown(wait=False)

    async def _let_go(self) -> None:
        for batcher in await asyncio.gather(*self._models.values(), return_exceptions=True):
            if isinstance(batcher, Batcher):
                await batcher.close()
        self._models.clear()

    async def _batcher(self, name: str) -> Batcher:
        """The batcher of model `name`, loading it first; one caller's timeout does not stop the others' loading."""
        self._refuse_closed()
        loading = self._models.get(name)
        if loading is None:
            loading = self._models[name] = asyncio.create_task(self._load(name))
        try:
            return await asyncio.shield(loading)
        except ProviderError:
            # A model that was missing may be there at the next call.
            if self._models.get(name) is loading:
                del self._models[name]
            raise

    async def _load(self, name: str) -> Batcher:
        options = self._options
        loop = asyncio.get_running_loop()
        model = await loop.run_in_executor(self._worker, _load_model, name, options)
        return Batcher(model, self._worker, batch_size=options.batch_size, batch_wait_s=options.batch_wait_ms / 1000)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ProviderError("this provider is closed", fault=FaultClass.INVALID_REQUEST, never_sent=True)


def _name(request: Request) -> str:
    return request.model.partition("/")[2]


def _refuse_unknown(request: Request) -> None:
    refused = sorted(request.extra) + (["response_schema"] if request.response_schema is not None else [])
    if refused:
        raise ProviderError(
            f"huggingface/… has no parameter {', '.join(refused)}",
            fault=FaultClass.INVALID_REQUEST,
            never_sent=True,
            mend="remove it; a server such as vLLM, reached as openai/…, has more.",
        )


def _refuse_too_long(work: Work, model: LoadedModel) -> None:
    needed = len(work.prompt) + work.request.max_output_tokens
    if model.context_length is not None and needed > model.context_length:
        raise ProviderError(
            f"{len(work.prompt)} input tokens and up to {work.request.max_output_tokens} output tokens exceed the "
            f"model's context of {model.context_length}",
            fault=FaultClass.INVALID_REQUEST,
            never_sent=True,
            mend="shorten the prompt, use fewer demonstrations, or lower max_output_tokens.",
        )


def _answer(work: Work) -> ProviderAnswer:
    usage = Usage(input_tokens=len(work.prompt), output_tokens=len(work.generated))
    return ProviderAnswer(text=work.text, usage=usage, finish_reason=work.finish_reason)


def _timeout_error(timeout_s: float, work: Work | None) -> ProviderError:
    waiting = work is None or not work.started
    stage = "no turn" if waiting else "no complete answer"
    return ProviderError(
        f"{stage} within {timeout_s:g} s",
        fault=FaultClass.TIMEOUT,
        never_sent=waiting,
        mend="raise the endpoint's timeout_s, ask for fewer output tokens, or send fewer calls at once.",
    )


# Torch and transformers take seconds to load: the worker's thread does it.


def _load_model(name: str, options: HuggingFaceOptions) -> LoadedModel:
    from resources.llm.providers.huggingface.model import load_model

    return load_model(name, options)


def _check_device(options: HuggingFaceOptions) -> None:
    from resources.llm.providers.huggingface.model import device_of

    device_of(options)


def _free_memory() -> None:
    from resources.llm.providers.huggingface.model import free_memory

    free_memory()
