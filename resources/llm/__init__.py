"""The execution core: every LLM call of the program goes through it."""

from domain.message import Message
from domain.pricing import Usage
from resources.llm.blocking import SyncClient, open_client_sync
from resources.llm.client import LLMClient
from resources.llm.opening import open_client
from resources.llm.settings import CoreSettings
from resources.llm.types import CallContext, Completion, Request

__all__ = [
    "CallContext",
    "Completion",
    "CoreSettings",
    "LLMClient",
    "Message",
    "Request",
    "SyncClient",
    "Usage",
    "open_client",
    "open_client_sync",
]
