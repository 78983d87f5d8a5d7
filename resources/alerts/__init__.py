"""Telling people, once, what they want to know: by log, webhook or Slack."""
