"""Answering rows with a prompt version, scoring the answers, keeping both."""
