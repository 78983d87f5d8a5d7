"""`litellm/<vendor>/<model>`: every vendor the LiteLLM library reaches. It loads with the first call."""

from __future__ import annotations

from resources.llm.providers.litellm.provider import LiteLLMProvider

__all__ = ["LiteLLMProvider"]
