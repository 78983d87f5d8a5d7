"""The process of the Google Cloud Storage server on loopback. Prints its port when it listens."""

from __future__ import annotations

import logging
import threading

from gcp_storage_emulator.server import create_server


def main() -> None:
    """Serve until killed, from memory."""
    logging.getLogger().setLevel(logging.ERROR)
    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    listening = server._api._httpd
    assert listening is not None
    print(listening.server_address[1], flush=True)  # noqa: T201
    threading.Event().wait()


if __name__ == "__main__":
    main()
