"""dbt's command line, run by path in a process of its own: `dbt_cli.py build ...`.

`dbt --version` asks a package index for newer releases. Dagster asks for the version before every command, so it is
answered here: offline, and seconds sooner.
"""

import sys
from importlib.metadata import version


def main(arguments: list[str]) -> None:
    """Run dbt; ends the process with dbt's exit code."""
    if arguments == ["--version"]:
        sys.stdout.write(f"Core:\n  - installed: {version('dbt-core')}\n")
        return
    from dbt.cli.main import cli

    cli(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
