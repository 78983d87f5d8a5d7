"""How long what is kept."""

SHORTEST_KEEP_DAYS = 40
"""Of the ledger: budgets and their projections look back over the current month and the last 14 days."""
