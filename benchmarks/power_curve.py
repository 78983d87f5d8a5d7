"""How often the gate promotes a candidate that is truly better, by gain and rows: the picture in docs/statistics.md.

    python -m benchmarks.power_curve --trials 400

Draws right/wrong results of two prompts that differ on a share of the rows, puts them to the real gate
(`domain.gate.decide`) at the first look, and counts promotions. Writes docs/power.svg and prints the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from domain.gate import ArmResults, GateRule, decide
from domain.statistics.intervals import wilson

DOCS = Path(__file__).parents[1] / "docs"
ROWS = (100, 300, 1_000)
GAINS = (0.0, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15)
DISCORDANT = 0.2
BASELINE = 0.7
COLOURS = ("#a9b4c6", "#2b3a55", "#2a9d8f")


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400, help="decisions per point")
    parser.add_argument("--seed", type=int, default=0)
    wish = parser.parse_args()
    random = np.random.default_rng(wish.seed)
    found = {rows: [_promoted(random, rows, gain, wish.trials) for gain in GAINS] for rows in ROWS}
    print("| rows | " + " | ".join(f"{100 * gain:g} points" for gain in GAINS) + " |")
    print("|---|" + "---|" * len(GAINS))
    for rows, promoted in found.items():
        print(f"| {rows:,} | " + " | ".join(f"{100 * count / wish.trials:.0f} %" for count in promoted) + " |")
    _draw(found, wish.trials, DOCS / "power.svg")


def _promoted(random: np.random.Generator, rows: int, gain: float, trials: int) -> int:
    return sum(decide(GateRule(), *_arms(random, rows, gain), 1).verdict == "promote" for _ in range(trials))


def _arms(random: np.random.Generator, rows: int, gain: float) -> tuple[ArmResults, ArmResults]:
    """Candidate and production: both right, only the candidate, only production, neither."""
    wins, losses = (DISCORDANT + gain) / 2, (DISCORDANT - gain) / 2
    both = BASELINE - losses
    kind = random.choice(4, rows, p=[both, wins, losses, 1 - both - wins - losses])
    return _arm(np.isin(kind, [0, 1])), _arm(np.isin(kind, [0, 2]))


def _arm(right: np.ndarray) -> ArmResults:
    return ArmResults([float(one) for one in right], [1] * right.size, [1.0] * right.size)


def _draw(found: dict[int, list[int]], trials: int, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "promptory"
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for (rows, promoted), colour in zip(found.items(), COLOURS, strict=True):
        gains = [100 * gain for gain in GAINS]
        shares = [100 * count / trials for count in promoted]
        bounds = [wilson(count, trials, 0.95) for count in promoted]
        axes.fill_between(
            gains, [100 * low for low, _ in bounds], [100 * high for _, high in bounds], color=colour, alpha=0.18
        )
        axes.plot(gains, shares, "o-", color=colour, label=f"{rows:,} rows")
    axes.axhline(80, color="#5b6678", linewidth=0.8, linestyle="--")
    axes.set_xlabel("true gain, points")
    axes.set_ylabel("promoted, % of decisions")
    axes.set_title(
        f"Power of the gate (α = 0.05, first look, prompts differ on {DISCORDANT:.0%} of the rows)",
        loc="left",
        fontsize=11,
    )
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, facecolor="white", metadata={"Date": None})


if __name__ == "__main__":
    main()
