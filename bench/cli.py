"""The one command: everything, or a part of it, into tables, JSON and a plot."""

import os
import sys
import time
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console

from bench.chart import growth_chart
from bench.database import Databases, databases
from bench.environment import ROOT
from bench.load import Generator, find_generator
from bench.measure import Pace
from bench.report import Section, keep_json, machine, write_into
from bench.suites import growth, memory, requests, start, tricks, under_fire, workers

PARTS = ("requests", "tricks", "workers", "fire", "start", "memory", "growth")
KINDS = ("postgresql", "sqlite")
# Processes that have run at the same time in the last minute.
QUIET = 0.5
RESULTS = ROOT / "bench" / "results"
DOCS = ROOT / "docs"


def main() -> None:
    """Run the command."""
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    program.command()(bench)
    program()


def bench(
    *,
    write: Annotated[bool, typer.Option("--write", help="Write the results into docs/.")] = False,
    only: Annotated[str, typer.Option(help=f"Parts, with commas between: {','.join(PARTS)}.")] = ",".join(PARTS),
    database: Annotated[str, typer.Option(help=f"Databases, likewise: {','.join(KINDS)}.")] = ",".join(KINDS),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter rounds, smaller sizes, to try it.")] = False,
) -> None:
    """Measure, show what came out, and end with 1 if something takes longer, or more, than it may."""
    parts, kinds = _chosen(only, PARTS), _chosen(database, KINDS)
    if write and (quick or kinds != list(KINDS)):
        raise typer.BadParameter("--write writes what was measured in full and on both databases.")
    # A table that is cut off says nothing: what is written into a file has no width of its own.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    generator, began = find_generator(), time.monotonic()
    console.print(machine(), f"Driven by {generator.name}.", highlight=False)
    if (busy := os.getloadavg()[0]) > QUIET:
        console.print(f"This machine is busy with something else ({busy:.1f}): the numbers will say so.")
    with ExitStack() as stack:
        made = [stack.enter_context(databases(kind)) for kind in kinds]
        sections = [_run(part, made, generator, console, quick=quick) for part in parts]
    for section in sections:
        section.show(console)
    console.print(f"{(time.monotonic() - began) / 60:.0f} minutes.", highlight=False)
    _keep(sections, generator, write=write)
    missed = [sentence for section in sections for sentence in section.missed]
    for sentence in missed:
        console.print(f"Missed: {sentence}", highlight=False)
    raise typer.Exit(1 if missed else 0)


def _chosen(text: str, known: tuple[str, ...]) -> list[str]:
    words = text.split(",")
    if unknown := set(words) - set(known):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}.")
    return [word for word in known if word in words]


def _run(part: str, made: list[Databases], generator: Generator, console: Console, *, quick: bool) -> Section:
    pace = Pace(3, 1) if quick else Pace(5, 2)
    in_turns = {"requests": requests.run, "tricks": tricks.run, "workers": workers.run}
    if part in in_turns:
        return in_turns[part](made, generator, pace, console)
    match part:
        case "fire":
            return under_fire.run(made, console, seconds=3.0 if quick else 10.0)
        case "start":
            return start.run(made, console)
        case "memory":
            return memory.run(made, generator, console, requests=30_000 if quick else memory.REQUESTS)
        case _:
            return growth.run(made, generator, pace, console, sizes=growth.SMALL_SIZES if quick else growth.SIZES)


def _keep(sections: list[Section], generator: Generator, *, write: bool) -> None:
    """Write JSON, tables and plot: into the docs, or where nobody commits them."""
    folder = DOCS if write else RESULTS
    folder.mkdir(exist_ok=True)
    keep_json(folder / "performance.json", sections, generator.name)
    for section in sections:
        if section.plot is not None:
            (folder / section.plot).write_text(growth_chart(section))
        if write:
            write_into(DOCS / "performance.md", section.name, section.markdown(), title=section.title)
    if write:
        write_into(DOCS / "performance.md", "machine", machine(), title="Where it was measured")
