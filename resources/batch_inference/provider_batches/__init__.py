"""Chunks handed to a provider's batch API: written down first, found again after a crash, settled once."""
