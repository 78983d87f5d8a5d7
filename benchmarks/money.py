"""Does a cap hold, and do the books agree, while processes are killed?

Several processes with many tasks each spend one budget at a provider that is slow, busy, fails, drops and truncates
answers, while some callers give up. Processes are killed (SIGKILL) at random times, and kill themselves right before,
within and right after every kind of durable write of state store and ledger; each is replaced. At every instant anybody
looks no scope may be above its cap. In the end the invoice must not exceed the cap, at least 95 % of the cap must be
used, and ledger, scopes and invoice must agree, once the ambiguous attempts, one by one, are set against the invoice.

    python -m benchmarks.money --processes 3 --tasks 25 --kills 8 --cap 0.08      a minute
    python -m benchmarks.money --processes 8 --tasks 1000 --state redis           full scale, on a Valkey of its own
    python -m benchmarks.money --change-caps      caps move meanwhile; a lowered one binds within 1 s
    python -m benchmarks.money --litellm          LiteLLM's Router with its provider budget, which overspends
"""

from __future__ import annotations

import argparse
import json
import sys
from decimal import Decimal

from benchmarks.machines import can_isolate
from benchmarks.money_run import Scale, run_money
from benchmarks.stores import STATES

# When so much of the cap is spent, it is set to so much of it: below what is spent, above it, and to end with.
CHANGES = (
    (Decimal("0.1"), Decimal("0.05")),
    (Decimal(0), Decimal("1.2")),
    (Decimal("0.3"), Decimal("0.8")),
)


def main() -> None:
    """The command line; exit status 1 when something did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.money", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", choices=STATES, default="sqlite", help="where state is shared (default: sqlite)")
    parser.add_argument("--ledger", default="", help="URL of an upgraded PostgreSQL database (default: an SQLite file)")
    parser.add_argument("--machines", type=int, default=1, help="spread over so many, all of one name (default: 1)")
    parser.add_argument("--processes", type=int, default=8, help="processes that spend (default: 8)")
    parser.add_argument("--tasks", type=int, default=1000, help="concurrent tasks in each (default: 1000)")
    parser.add_argument("--kills", type=int, default=60, help="processes killed at random times (default: 60)")
    parser.add_argument("--sweeps", type=int, default=1, help="deaths at each durable write (default: 1)")
    parser.add_argument("--cap", type=Decimal, default=Decimal(5), help="USD that may be spent (default: 5)")
    parser.add_argument("--change-caps", action="store_true", help="lower and raise the cap meanwhile")
    parser.add_argument("--litellm", action="store_true", help="LiteLLM's Router instead of the core")
    parser.add_argument("--patience", type=float, default=3600, help="seconds until it is given up (default: 3600)")
    parser.add_argument("--seed", type=int, default=1, help="seed of kills and faults (default: 1)")
    parser.add_argument("--json", action="store_true", help="print everything that was seen as JSON")
    options = parser.parse_args()
    if options.machines > 1 and options.state == "sqlite":
        parser.error("a state file is shared by the processes of one machine; add --state redis")
    if options.machines > 1 and not can_isolate():
        parser.error("several machines need root and unshare (util-linux)")
    if options.litellm and options.change_caps:
        parser.error("LiteLLM's caps are fixed when its Router is made; leave out --change-caps")
    scale = Scale(
        processes=options.processes,
        tasks=options.tasks,
        kills=options.kills,
        sweeps=0 if options.litellm else options.sweeps,
        cap_usd=options.cap,
        state=options.state,
        ledger=options.ledger,
        machines=options.machines,
        changes=CHANGES if options.change_caps else (),
        patience_s=options.patience,
        seed=options.seed,
        client="litellm" if options.litellm else "core",
    )
    outcome = run_money(scale, progress=lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(outcome.as_dict(), indent=2) if options.json else outcome)
    sys.exit(1 if outcome.problems else 0)


if __name__ == "__main__":
    main()
