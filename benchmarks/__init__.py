"""Measurements of the execution core: what it costs, and what it withstands."""
