"""Tiny models of the transformers library, made in a moment. Import only where torch is installed."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

END = "<|end|>"
ANSWER = "<|assistant|>"
MARKS = ["<|pad|>", END, "<|system|>", "<|user|>", ANSWER]
WORDS = ["deli", "very", "one", "two", "three", "four"]
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer_of(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Bytes, the marks of its template, and a few words."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: at for at, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(MARKS)
    tokenizer.add_tokens(WORDS)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=MARKS[0],
        eos_token=END,
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def save_random(folder: Path, template: str | None = TEMPLATE) -> Path:
    """A Llama with random weights: what it says is noise without end that depends on every token before."""
    tokenizer = tokenizer_of(template)
    torch.manual_seed(7)
    model = LlamaForCausalLM(_config(tokenizer, hidden_size=64))
    model.state_dict()["lm_head.weight"][tokenizer.eos_token_id] = 0.0
    return _save(folder, tokenizer, model)


def save_parrot(folder: Path, template: str | None = TEMPLATE) -> Path:
    """A Llama whose weights say `deli`, `very` and the end mark after any prompt.

    Its layers add nothing, its embedding is the identity, and its head is a table from the last token to the next. At
    the start of an answer the numbers `one` to `four` are possible too, but less likely, and each then ends it.
    """
    tokenizer = tokenizer_of(template)
    size = len(tokenizer)
    model = LlamaForCausalLM(_config(tokenizer, hidden_size=size + size % 2))
    weights = model.state_dict()
    for name, tensor in weights.items():
        if "norm" not in name:
            tensor.zero_()
    weights["model.embed_tokens.weight"][:, :size] = torch.eye(size)
    head = weights["lm_head.weight"]
    end, deli, very, *numbers = (tokenizer.convert_tokens_to_ids(word) for word in (END, *WORDS))
    head.fill_(-1.0)
    head[deli] = 1.0
    head[numbers] = 0.8
    for last, following in {deli: very, very: end, **dict.fromkeys(numbers, end)}.items():
        head[:, last] = -1.0
        head[following, last] = 1.0
    return _save(folder, tokenizer, model)


def _config(tokenizer: PreTrainedTokenizerFast, hidden_size: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _save(folder: Path, tokenizer: PreTrainedTokenizerFast, model: LlamaForCausalLM) -> Path:
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
