"""The command `promptory`."""

import sys
from pathlib import Path

from orchestration.cli.application import app


def main() -> None:
    """Run the command with the process's arguments. Evaluators of one's own are found in the working folder, too."""
    sys.path.append(str(Path.cwd()))
    app()
