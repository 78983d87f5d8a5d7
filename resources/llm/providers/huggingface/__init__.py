"""`huggingface/…`: a model of the transformers library, in this process. Torch loads with the first call."""

from __future__ import annotations

from resources.llm.providers.huggingface.provider import HuggingFaceProvider

__all__ = ["HuggingFaceProvider"]
