"""`vertex/…`: models on Google's Vertex AI. Nothing of Google's libraries loads before the first call."""

from __future__ import annotations

from resources.llm.providers.vertex.provider import VertexProvider

__all__ = ["VertexProvider"]
