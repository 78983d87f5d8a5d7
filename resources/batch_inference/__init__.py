"""Batch inference: unlabelled rows answered by a task's production prompt, each paid for once."""
