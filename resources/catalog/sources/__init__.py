"""Readers of dataset files: each yields numbered raw rows, whatever the format."""
