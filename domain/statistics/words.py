"""Whether two samples of texts come from one distribution, by their words: a classifier two-sample test.

A naive Bayes classifier learns on one half of both samples to tell them apart and ranks the rows of the other half;
if both samples are alike, the ranks of theirs are too, whatever it learned. Wilcoxon's rank sum test (Mann–Whitney U)
on rows that it never saw is therefore valid, and its statistic is the AUC: 1/2 where nothing can be told apart. Both
halves take their turn, and the smaller p-value counts twice (Bonferroni). See D. Lopez-Paz and M. Oquab, "Revisiting
classifier two-sample tests" (ICLR 2017); A. Ramdas, A. Singh and L. Wasserman, "Classification accuracy as a proxy for
two-sample testing" (2021).

Words are hashed, so that nothing of a text is kept: what leaves here is a p-value, an AUC and numbers of rows.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.errors import InputError
from domain.statistics.untyped import scipy_stats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domain.statistics.samples import FloatArray

Words = frozenset[int]

SLOTS = 1 << 14
MOST_ROWS = 2_000
LEAST_ROWS = 40
"""Of either sample, after equal rows were taken together: each half of both then has 20 to learn from, 20 to rank."""

_MOST_CHARACTERS = 4_000
_WORD = re.compile(r"\w+")
_LONG_WORD = 20
_WITHOUT_SPACES = "\u2e80"
_RARE = 3
_SMOOTHING = 1.0


@dataclass(frozen=True, slots=True)
class WordShift:
    """Two samples compared.

    Attributes:
        p_value: of "both come from one distribution", for independent rows.
        auc: chance that a row of the current sample is ranked above one of the reference, on rows not learned from.
        distance: 2 × AUC − 1, not below 0: about the share of rows that are of a kind the reference has not.
        rows: different rows of the reference and of the current sample that were compared.
    """

    p_value: float
    auc: float
    distance: float
    rows: tuple[int, int]


def words_of(inputs: Mapping[str, str]) -> Words:
    """The different words of a row's input fields, hashed; the same word in two fields is two.

    Of scripts that write no spaces, and of very long words, it is every two characters that stand side by side.
    """
    return frozenset(
        zlib.crc32(f"{name}\0{word}".encode("utf-8", "surrogatepass")) % SLOTS
        for name, text in inputs.items()
        for word in _words(text[:_MOST_CHARACTERS].casefold())
    )


def _words(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        if len(word) <= _LONG_WORD and max(word) < _WITHOUT_SPACES:
            yield word
        else:
            yield from (word[start : start + 2] for start in range(max(1, len(word) - 1)))


def compare_words(reference: Sequence[Words], current: Sequence[Words], *, seed: int) -> WordShift:
    """Compare two samples of rows, at most 2,000 of each and as many of one as of the other.

    Rows with the same words count once within a sample: a file that came twice is not twice the evidence.

    Args:
        seed: draws the rows and the halves; the same seed gives the same answer.

    Raises:
        InputError: fewer than 40 different rows in a sample.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    most = min(len(reference), len(current), MOST_ROWS)
    (ours, more), (theirs, _) = (_drawn(sample, most, random) for sample in (reference, current))
    samples = [list(dict.fromkeys(ours)), list(dict.fromkeys(theirs))]
    fewest = min(len(sample) for sample in samples)
    if fewest < LEAST_ROWS:
        raise InputError(
            f"a sample has {fewest} different rows", field="rows", mend=f"compare {LEAST_ROWS} or more of each."
        )
    before, now = (_matrix(sample) for sample in samples)
    counts = np.bincount(_matrix(more).words, minlength=SLOTS)
    looks = [_look(_halves(before, turn), _halves(now, turn), counts, len(more)) for turn in (0, 1)]
    auc = sum(auc for _, auc in looks) / len(looks)
    return WordShift(
        p_value=min(1.0, len(looks) * min(p_value for p_value, _ in looks)),
        auc=auc,
        distance=max(0.0, 2 * auc - 1),
        rows=(len(samples[0]), len(samples[1])),
    )


def _drawn(sample: Sequence[Words], most: int, random: np.random.Generator) -> tuple[list[Words], list[Words]]:
    """`most` rows of a sample, in random order, and what is left of the first 2,000."""
    drawn = [sample[int(place)] for place in random.permutation(len(sample))[:MOST_ROWS]]
    return drawn[:most], drawn[most:]


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Rows of words: the words of row i stand at `rows == i`."""

    rows: NDArray[np.int64]
    words: NDArray[np.int64]
    count: int

    def part(self, turn: int) -> _Matrix:
        """Every other row, from `turn` on; the sample was shuffled when it was drawn."""
        chosen = self.rows % 2 == turn
        return _Matrix(self.rows[chosen] // 2, self.words[chosen], (self.count - turn + 1) // 2)


def _matrix(sample: Sequence[Words]) -> _Matrix:
    import numpy as np

    lengths = [len(words) for words in sample]
    return _Matrix(
        np.repeat(np.arange(len(sample)), lengths),
        np.fromiter((word for words in sample for word in sorted(words)), np.int64, sum(lengths)),
        len(sample),
    )


def _halves(matrix: _Matrix, turn: int) -> tuple[_Matrix, _Matrix]:
    return matrix.part(turn), matrix.part(1 - turn)


def _look(
    reference: tuple[_Matrix, _Matrix], current: tuple[_Matrix, _Matrix], more: NDArray[np.int64], rows: int
) -> tuple[float, float]:
    """p-value and AUC on the second halves, with what the first ones and `more` of the reference taught."""
    import numpy as np

    ours, theirs = (np.bincount(one[0].words, minlength=SLOTS) for one in (reference, current))
    weights = _learn(ours + more, reference[0].count + rows, theirs, current[0].count)
    before, now = (_scores(one[1], weights) for one in (reference, current))
    if max(before.max(), now.max()) == min(before.min(), now.min()):
        return 1.0, 0.5  # no word was frequent enough to learn anything of
    found = scipy_stats().mannwhitneyu(now, before, alternative="greater", method="asymptotic")
    return float(found.pvalue), float(found.statistic) / (now.size * before.size)


def _learn(
    reference: NDArray[np.int64], reference_rows: int, current: NDArray[np.int64], current_rows: int
) -> FloatArray:
    """Bernoulli naive Bayes: what each word adds to the log-odds of "current". A constant would change no rank.

    Words that hardly any row has would only add noise to the ranks.
    """
    import numpy as np

    odds = [
        np.log((count + _SMOOTHING) / (rows - count + _SMOOTHING))
        for count, rows in ((reference, reference_rows), (current, current_rows))
    ]
    weights: FloatArray = np.where(reference + current >= _RARE, odds[1] - odds[0], 0.0)
    return weights


def _scores(matrix: _Matrix, weights: FloatArray) -> FloatArray:
    import numpy as np

    # Rounded: the sum of the same weights in another order must be a tie.
    sums = np.bincount(matrix.rows, weights[matrix.words], matrix.count).astype(np.float64)
    return np.round(sums, 9)
