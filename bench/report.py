"""Show what was measured: to people as tables, to programs as JSON."""

import json
import os
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

PACKAGES = ("fastapi", "starlette", "uvicorn", "sqlalchemy", "sqlmodel", "fastapi-users", "asyncpg", "aiosqlite")


@dataclass(frozen=True, slots=True)
class Section:
    """What one part of the bench has found out."""

    name: str
    title: str
    # How it was measured, in sentences.
    how: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    # A picture beside the page.
    plot: str | None = None
    plot_of: str = ""

    def markdown(self) -> str:
        """Return it as a paragraph and a table."""
        head = [f"| {' | '.join(self.columns)} |", f"|{'---|' * len(self.columns)}"]
        plot = ["", f"![{self.plot_of}]({self.plot})"] if self.plot else []
        return "\n".join([self.how, "", *head, *(f"| {' | '.join(row)} |" for row in self.rows), *plot])

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(*self.columns, title=self.title)
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


def machine() -> str:
    """Say what it was measured on."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{python}, {os.process_cpu_count()} cores; {packages}."


def keep_json(file: Path, sections: list[Section], generator: str) -> None:
    """Keep what was measured, for programs; parts that were not measured this time stay as they were."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept |= {"machine": machine(), "load": generator}
    for section in sections:
        kept[section.name] = {"how": section.how, "missed": section.missed, "results": section.records}
    file.write_text(json.dumps(kept, indent=2) + "\n")


def write_into(page: Path, name: str, text: str, *, title: str) -> None:
    """Put a text between the comments of a page that are kept for it; what has no place yet gets one at the end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = page.read_text()
    if begin not in old:
        old += f"\n## {title}\n\n{begin}\n{end}\n"
    before, after = old.split(begin)[0], old.split(end)[1]
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")
