"""Tables and pictures for materialization metadata."""
