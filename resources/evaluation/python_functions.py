"""Importing score functions, and knowing exactly which source they were made from."""

from __future__ import annotations

import hashlib
import sys
import threading
from dataclasses import dataclass
from importlib import invalidate_caches
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType

from domain.errors import InputError
from domain.evaluators.python_function import ScoreFunction, check_function

FIELD = "evaluators.python.path"
_LOADED: dict[str, tuple[str, ModuleType]] = {}
_LOADING = threading.Lock()


@dataclass(frozen=True, slots=True)
class LoadedFunction:
    """A score function and the SHA-256 of the source file it was made from."""

    function: ScoreFunction
    source_sha256: str


def load_function(path: str) -> LoadedFunction:
    """The function at `package.module:function`.

    A module whose file changed since it was loaded here is loaded again: in a process that lives long, the hash must
    name the source that really runs. What the module itself imports is neither hashed nor loaded again.

    Raises:
        InputError: there is no such module or function, its import fails, or it takes other arguments.
    """
    module_name, _, name = path.partition(":")
    with _LOADING:
        digest, module = _load(module_name)
    if not hasattr(module, name):
        raise InputError(f"module {module_name} has no {name!r}", field=FIELD, mend="correct the name after the colon.")
    return LoadedFunction(check_function(path, getattr(module, name)), digest)


def source_sha256(path: str) -> str:
    """SHA-256 of the source file of `package.module:function`; the module itself is not run.

    Raises:
        InputError: there is no such module, or it has no source file.
    """
    return _digest(_source(_find(path.partition(":")[0])))


def _load(module_name: str) -> tuple[str, ModuleType]:
    spec = _find(module_name)
    source = _source(spec)
    digest = _digest(source)
    known = _LOADED.get(module_name)
    if known is not None and known[0] == digest:
        return known
    module = module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        # Compiled from the very bytes that were hashed: a cached .pyc goes by date and size, and may be another's.
        exec(compile(source, str(spec.origin), "exec"), module.__dict__)  # noqa: S102 (the user's own code, as named)
    except Exception as error:
        del sys.modules[module_name]
        raise InputError(
            f"importing {module_name} failed: {type(error).__name__}: {error}",
            file=spec.origin,
            field=FIELD,
            mend="correct the module; `python -c 'import …'` shows the whole traceback.",
        ) from error
    _LOADED[module_name] = (digest, module)
    return digest, module


def _find(module_name: str) -> ModuleSpec:
    invalidate_caches()  # a file written a moment ago is to be found
    try:
        spec = find_spec(module_name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise InputError(
            f"there is no module {module_name!r}",
            field=FIELD,
            mend="correct the path, install the package, or run in the folder that holds it (or set PYTHONPATH to it).",
        )
    return spec


def _source(spec: ModuleSpec) -> bytes:
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise InputError(
            f"module {spec.name} has no source file, so an edit of it could not be told",
            field=FIELD,
            mend="put the function into a .py file.",
        )
    return Path(spec.origin).read_bytes()


def _digest(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()
