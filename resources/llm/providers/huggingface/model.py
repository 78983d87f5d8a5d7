"""A model and its tokenizer, loaded, and one batch generated with them. Runs in the worker's thread."""

from __future__ import annotations

import gc
from functools import lru_cache
from typing import Any

import torch  # pyright: ignore[reportMissingImports] - an extra
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging

from domain.errors import FaultClass, ProviderError
from domain.message import Message
from resources.llm.providers.huggingface.chat import encode_chat
from resources.llm.providers.huggingface.options import HuggingFaceOptions
from resources.llm.providers.huggingface.sampling import RowSampler
from resources.llm.providers.huggingface.stopping import RowStopper
from resources.llm.providers.huggingface.work import Work

PROMPTS_KEPT = 1_024


def device_of(options: HuggingFaceOptions) -> str:
    """The device that `options` mean on this machine.

    Raises:
        ProviderError: INVALID_REQUEST, never sent; the machine has no such device.
    """
    if options.device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=options.device)
    except (RuntimeError, AssertionError):
        problem = f"this machine has no device {options.device!r} that torch can use"
    else:
        return options.device
    raise ProviderError(
        problem, fault=FaultClass.INVALID_REQUEST, never_sent=True, mend="set the option device to cpu or auto."
    )


class LoadedModel:
    """One model, ready to generate. Its methods, `encode` apart, belong to one thread at a time."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self._end_ids = _end_ids(tokenizer, model)
        self._pad_id = next((i for i in (tokenizer.pad_token_id, *sorted(self._end_ids)) if i is not None), 0)
        # The checkpoint's own taste in temperature and penalties would change what a request asks for.
        model.generation_config = GenerationConfig(
            pad_token_id=self._pad_id, eos_token_id=sorted(self._end_ids) or None
        )
        self.context_length: int | None = getattr(model.config, "max_position_embeddings", None)
        self._encode = lru_cache(maxsize=PROMPTS_KEPT)(self._encode_once)

    def encode(self, messages: tuple[Message, ...]) -> list[int]:
        """Ids of the prompt; the latest are kept.

        Raises:
            ProviderError: INVALID_REQUEST, never sent.
        """
        return self._encode(messages)

    def generate(self, batch: list[Work]) -> None:
        """Answer every call of `batch`, filling each in."""
        length = max(len(work.prompt) for work in batch)
        padding = [length - len(work.prompt) for work in batch]
        device = self._model.device
        ids = torch.tensor(
            [[self._pad_id] * pad + work.prompt for pad, work in zip(padding, batch, strict=True)], device=device
        )
        mask = torch.tensor([[0] * pad + [1] * (length - pad) for pad in padding], device=device)
        stopper = RowStopper(batch, self._tokenizer, self._end_ids)
        with torch.inference_mode():
            self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max(work.request.max_output_tokens for work in batch),
                do_sample=False,
                logits_processor=[RowSampler(batch)],
                stopping_criteria=[stopper],
            )

    def _encode_once(self, messages: tuple[Message, ...]) -> list[int]:
        return encode_chat(self._tokenizer, messages)


def load_model(name: str, options: HuggingFaceOptions) -> LoadedModel:
    """Read tokenizer and weights from a folder, or from this machine's Hugging Face cache.

    Raises:
        ProviderError: INVALID_REQUEST, never sent; it is not there, not usable, or does not fit.
    """
    device = device_of(options)
    logging.disable_progress_bar()
    places = {"local_files_only": not options.download, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **places)
        model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=options.dtype, **places)
        model.to(device).eval()
    except (OSError, ValueError, ImportError, KeyError) as error:
        problem = f"no usable model {name!r} is on this machine ({type(error).__name__})"
        mend = "give the path of a saved model, or set the option download to true for a name on the Hugging Face hub."
    except RuntimeError as error:  # torch's errors for memory and devices
        problem = f"the model {name!r} cannot be loaded on {device} ({type(error).__name__})"
        mend = "choose another device or dtype, or a smaller model."
    else:
        return LoadedModel(tokenizer, model)
    raise ProviderError(problem, fault=FaultClass.INVALID_REQUEST, never_sent=True, mend=mend)


def free_memory() -> None:
    """Give back what models that were let go of held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _end_ids(tokenizer: Any, model: Any) -> frozenset[int]:
    """Every id that ends an answer: chat models often name more than the tokenizer's one."""
    named = model.generation_config.eos_token_id
    ids = named if isinstance(named, list) else [named]
    return frozenset(i for i in (*ids, tokenizer.eos_token_id) if i is not None)
