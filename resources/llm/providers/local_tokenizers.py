"""Tokenizers that are at hand on this machine. Nothing here ever downloads one."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CountTokens = Callable[[str], int]

TOKENIZER_FILE = "tokenizer.json"


def folder_counter(folder: Path, field: str) -> CountTokens:
    """Counts with the tokenizer that transformers saved in `folder`.

    Text that spells one of its marks (`<|end|>`) counts as what is longer, the mark or its letters: servers differ.

    Args:
        field: the setting that names the folder, for errors.

    Raises:
        ConfigurationError: there is none in it, or it cannot be read.
    """
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise ConfigurationError(
            f"there is no {TOKENIZER_FILE} in this folder",
            file=str(folder),
            field=field,
            mend="name the folder of the model that the endpoint serves; a tokenizer without that file gets one by "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder).",
        )
    marked, spelt = _read(path, field), _read(path, field)
    spelt.encode_special_tokens = True
    marks = [token.content for token in marked.get_added_tokens_decoder().values()]
    spells_a_mark = re.compile("|".join(map(re.escape, marks))) if marks else None

    def count(text: str) -> int:
        counted = len(marked.encode(text, add_special_tokens=False).ids)
        if spells_a_mark is None or not spells_a_mark.search(text):
            return counted
        return max(counted, len(spelt.encode(text, add_special_tokens=False).ids))

    return count


def cached_encoding_counter(model: str) -> CountTokens | None:
    """Counts with the encoding of an OpenAI model (its bare name), if tiktoken has that in its cache; else None.

    Marks in a text count as their letters, as OpenAI's endpoints read them.
    """
    import tiktoken

    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    encoding = _cached_encoding(name)
    if encoding is None:
        return None

    def count(text: str) -> int:
        return len(encoding.encode_ordinary(text))

    return count


def _read(path: Path, field: str) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        problem = f"the tokenizer cannot be read ({type(error).__name__})"
    else:
        tokenizer.no_truncation()  # a saved one may cut texts, and pad them
        tokenizer.no_padding()
        return tokenizer
    raise ConfigurationError(problem, file=str(path), field=field, mend="save it again.")


@lru_cache(maxsize=8)
def _cached_encoding(name: str) -> Any:
    import tiktoken

    try:
        return tiktoken.Encoding(**_encodings()[name]())
    except (FileNotFoundError, KeyError):
        return None


@lru_cache(maxsize=1)
def _encodings() -> dict[str, Callable[[], dict[str, Any]]]:
    """What each encoding is made of, by tiktoken's own rules of where its cache is and what may be in it.

    They are run in copies of tiktoken's modules in which a missing file stays missing: tiktoken itself would fetch it.
    """
    loading, table = _copy_of("tiktoken.load"), _copy_of("tiktoken_ext.openai_public")
    loading.read_file = _not_at_hand
    table.load_tiktoken_bpe = loading.load_tiktoken_bpe
    table.data_gym_to_mergeable_bpe_ranks = loading.data_gym_to_mergeable_bpe_ranks
    return table.ENCODING_CONSTRUCTORS


def _copy_of(name: str) -> Any:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _not_at_hand(address: str) -> NoReturn:
    raise FileNotFoundError(address)
