"""Concurrency pools: what a busy instance holds back."""

# Of every asset that makes paid calls. The run queue limits it as a whole and, by run tags, per provider.
LLM_POOL = "llm"
