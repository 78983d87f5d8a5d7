"""A loopback server that takes alerts, or does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhook:
    """What was received, and how the next request is answered: a status, or None for breaking off.

    Attributes:
        keys: idempotency keys of all requests, refused ones included.
        on_request: called when a request has arrived, before it is answered.
    """

    url: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int | None] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None


@contextmanager
def webhook_server() -> Iterator[Webhook]:
    """The server, on a port of its own."""
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.keys.append(self.headers["Idempotency-Key"])
            answer = hook.answers.pop(0) if hook.answers else 200
            if answer is None or answer < 300:
                hook.received.append(body)
            hook.on_request()
            if answer is None:
                self.connection.close()
                return
            self.send_response(answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_port}/hook/secret-token"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hook
        finally:
            server.shutdown()
            thread.join()
