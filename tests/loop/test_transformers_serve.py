"""The loop against a server nobody wrote for it: `transformers serve` with a tiny model, behind a recording proxy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from loop.workplace import EVALUATE, KEY_VARIABLE, PRICE, Workplace
from servers.billing import Tariff, price_nano_usd

# Looked for, not imported: that takes seconds, and only the child process and one fixture need them.
MISSING = [name for name in ("torch", "fastapi", "uvicorn", "accelerate") if find_spec(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"`transformers serve` needs {', '.join(MISSING)}"),
]

READY_S = 180
CHAT_TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised Llama with a tokenizer trained on a few lines: it answers, and never well."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny") / "llama"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=special)
    tokenizer.train_from_iterator(["Crate holds one anchor drum easel attic cellar shed"] * 4, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(wrapped), max_position_embeddings=1024, eos_token_id=1, bos_token_id=0, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def serving(model: Path) -> Iterator[str]:
    """The server's root URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["transformers", "serve", str(model), "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    program = Path(sys.executable).with_name(command[0])
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(model.parent / "hub")}
    log = (model.parent / "serve.log").open("wb")
    with log, subprocess.Popen([str(program), *command[1:]], env=variables, stdout=log, stderr=log) as process:
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/health", process, model.parent / "serve.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(READY_S)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(log.read_text())


class Recorder(ThreadingHTTPServer):
    """Passes chat requests on and keeps what the server answered."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.answers: list[dict[str, Any]] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Recorder
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        onward = urllib.request.Request(
            self.server.target + self.path, data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(onward, timeout=60) as answer:
            payload = answer.read()
        self.server.answers.append(json.loads(payload))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def recorder(serving: str) -> Iterator[Recorder]:
    with Recorder(serving) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.timeout(600)
def test_every_number_is_the_one_the_server_reported(
    make_workplace: Callable[..., Workplace], recorder: Recorder, model: Path
) -> None:
    name = f"openai/{model}"
    settings = {
        "endpoints": {"openai": {"base_url": recorder.base_url, "api_key": f"${{{KEY_VARIABLE}}}"}},
        "prices": {name: PRICE},
        "budgets": {"day": "1.00"},
    }
    place = make_workplace(24, settings, model=name, optimizer=None)
    report = place.run(*EVALUATE)
    usages = [answer["usage"] for answer in recorder.answers]
    tariff = Tariff(PRICE["input_per_million"], PRICE["output_per_million"])
    bill = sum(price_nano_usd(tariff, one["prompt_tokens"], one["completion_tokens"], 0) for one in usages)

    shown = report.metadata["evaluation"]
    assert len(usages) == shown["rows"] == shown["calls"] > 0
    assert shown["tokens"] == sum(one["prompt_tokens"] + one["completion_tokens"] for one in usages)
    assert round(shown["cost_usd"] * 10**9) == bill > 0
    spent = place.command("cost")["total"]
    assert spent["spent_nano_usd"] == bill
    assert spent["ambiguous_nano_usd"] == 0
    assert spent["input_tokens"] == sum(one["prompt_tokens"] for one in usages)
    assert spent["output_tokens"] == sum(one["completion_tokens"] for one in usages)

    again = place.run(*EVALUATE)
    assert len(recorder.answers) == len(usages)
    assert again.metadata["evaluation"]["decision_id"] == shown["decision_id"]
