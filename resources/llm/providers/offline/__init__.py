"""`offline/nearest`: an in-context reader for first runs without key and network. It is not a language model.

Whatever it knows stands in the request: it reads the output contract and the demonstrations of one rendered prompt
step, compares the new input with them word by word, and answers what the comparison says.
"""

from resources.llm.providers.offline.provider import OfflineProvider

__all__ = ["OfflineProvider"]
