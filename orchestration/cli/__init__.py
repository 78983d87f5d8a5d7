"""The command `promptory`."""

from orchestration.cli.application import app


def main() -> None:
    """Run the command with the process's arguments."""
    app()
