"""What is printed: one row per figure."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

_HUNDRED = 100


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        value: None where it could not be measured; `note` says why.
        at_most, at_least: the target, where there is one.
    """

    figure: str
    value: float | None
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Say whether the target is kept."""
        if self.value is None:
            return "not measured"
        if self.at_most is not None:
            return "ok" if self.value <= self.at_most else "missed"
        if self.at_least is not None:
            return "ok" if self.value >= self.at_least else "missed"
        return ""

    @property
    def target(self) -> str:
        """Write the target."""
        if self.at_most is not None:
            return f"<= {_number(self.at_most)} {self.unit}".rstrip()
        return f">= {_number(self.at_least)} {self.unit}".rstrip() if self.at_least is not None else ""

    @property
    def measured(self) -> str:
        """Write the value."""
        return "-" if self.value is None else f"{_number(self.value)} {self.unit}".rstrip()


@dataclass
class Table:
    """Rows as they come: each is printed at once and kept for the file."""

    say: Callable[[str], None] = print
    rows: list[Row] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.say(f"\n{text}\n{'figure':<64} | {'measured':>16} | {'target':>14} | verdict")

    def add(self, row: Row) -> None:
        """Print and keep a row."""
        self.rows.append(row)
        line = f"{row.figure:<64} | {row.measured:>16} | {row.target:>14} | {row.verdict}"
        self.say(f"{line.rstrip()}{f'  ({row.note})' if row.note else ''}")

    def write(self, path: Path) -> None:
        """Write all rows as JSON."""
        rows = [asdict(row) | {"verdict": row.verdict} for row in self.rows]
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < _HUNDRED else f"{value:.0f}"
