"""What is wrong with a grid, and where."""

from collections.abc import Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """One mistake in a file; line and column count from 1."""

    file: str
    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: "
        return place + (f"{self.path}: " if self.path else "") + self.text


class GridError(ValueError):
    """A grid that cannot be used; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(map(str, self.problems)))
