"""The word that was probably meant."""

from collections.abc import Sequence


def nearest(word: str, choices: Sequence[str]) -> str | None:
    """The choice that was probably meant: a few typing errors away, or with more letters."""
    rank = (
        {
            choice: typing_errors(word, choice)
            for choice in choices
            if typing_errors(word, choice) <= max(1, len(word) // 3)
            or (len(word) > 1 and choice.startswith(word))
        }
        if word
        else {}
    )
    return min(rank, key=rank.__getitem__, default=None)


def typing_errors(word: str, other: str) -> int:
    """Letters to insert, delete, replace, or exchange with the next (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(word):
        last, before, row = before, row, [i + 1]
        for j, b in enumerate(other):
            row.append(min(before[j] + (a != b), before[j + 1] + 1, row[j] + 1))
            if i and j and (a, word[i - 1]) == (other[j - 1], b):
                row[-1] = min(row[-1], last[j - 1] + 1)
    return row[-1]
