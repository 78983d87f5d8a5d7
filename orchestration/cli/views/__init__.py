"""What the commands read and show: one JSON value, and the same as tables."""
