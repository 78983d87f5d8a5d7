"""What names look like that become partition keys, budget scopes and file names."""

from __future__ import annotations

TASK_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,99}$"
LONGEST_NAME = 100
