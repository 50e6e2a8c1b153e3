"""How much memory a worker holds under load, and whether that ends somewhere."""

from itertools import batched

from rich.console import Console

from bench.database import Database, Databases
from bench.load import CONNECTIONS, Generator, Request
from bench.report import Section
from bench.servers import Server, serving
from bench.suites.requests import SIZE
from bench.workload import Asked, group, items, login, me, new_item, post

MEBIBYTE = 1024 * 1024
HOLDS_AT_MOST = 150
GROWS_AT_MOST = 1.05
REQUESTS = 100_000
STEP = 10_000
# From here on, caches and pools are full.
SETTLED = 2


def run(made: list[Databases], generator: Generator, console: Console, *, requests: int = REQUESTS) -> Section:
    """Send mixed requests, and look at the memory every ten thousand."""
    section = Section(
        "memory",
        "Memory",
        f"One worker, {SIZE:,} users, {CONNECTIONS} connections, driven by {generator.name}: {requests:,} requests. Of "
        "100 requests 40 are `/users/me`, 20 pages of a group, 15 pages of items, 14 posts, 10 new items and one "
        f"sign-in. Resident memory in MiB. Bounds: at most {HOLDS_AT_MOST}, and at the end at most "
        f"{GROWS_AT_MOST - 1:.0%} more than after {SETTLED * STEP:,} requests.",
        ("database", "at the start", f"after {SETTLED * STEP:,}", "maximum", "at the end", "ratio"),
    )
    for databases in made:
        database = databases.of_size(SIZE)
        with serving("service", database_url=database.url) as server:
            sizes = _watch(database, server, generator, console, requests=requests)
        _add(section, databases.kind, sizes)
        console.print(" ".join(section.rows[-1]), highlight=False)
    return section


def _watch(
    database: Database, server: Server, generator: Generator, console: Console, *, requests: int
) -> list[tuple[int, float]]:
    """Return after how many requests the server held how many mebibytes."""
    mixed, seconds, count = _mixed(Asked(database.world, server)), 5, 0
    sizes = [(0, server.rss() / MEBIBYTE)]
    with console.status(f"{database.kind}: memory") as status:
        while count < requests:
            answers = generator.drive(server.port, mixed, seconds=seconds)
            count += answers.count
            # A generator counts seconds: so many as about ten thousand requests take, from what the last ones took.
            step = STEP - count % STEP
            seconds = max(1, round(step * answers.seconds / answers.count))
            sizes.append((count, server.rss() / MEBIBYTE))
            status.update(f"{database.kind}: {sizes[-1][1]:.0f} MiB after {count:,} of {requests:,} requests")
    return sizes


def _mixed(asked: Asked) -> list[Request]:
    one_each = [me(asked), group(asked), items(asked), post(asked), new_item(asked), login(asked)]
    shares = (40, 20, 15, 14, 10, 1)
    parts = [batched(requests * share, share, strict=True) for requests, share in zip(one_each, shares, strict=True)]
    return [request for hundred in zip(*parts, strict=False) for part in hundred for request in part]


def _add(section: Section, kind: str, sizes: list[tuple[int, float]]) -> None:
    settled = next((size for count, size in sizes if count >= SETTLED * STEP * 0.95), sizes[-1][1])
    most, last = max(size for _, size in sizes), sizes[-1][1]
    grown = last / settled
    name = "PostgreSQL" if kind == "postgresql" else "SQLite"
    cells = (f"{size:.0f}" for size in (sizes[0][1], settled, most, last))
    section.rows.append((name, *cells, f"{grown:.3f}"))
    section.records.append(
        {
            "database": kind,
            "mebibytes_after": [{"requests": count, "mebibytes": size} for count, size in sizes],
            "most": most,
            "most_required": HOLDS_AT_MOST,
            "ratio": grown,
            "required": GROWS_AT_MOST,
        }
    )
    if most > HOLDS_AT_MOST:
        section.missed.append(f"{kind}: a worker holds {most:.0f} MiB, and not at most {HOLDS_AT_MOST}.")
    if grown > GROWS_AT_MOST:
        section.missed.append(f"{kind}: a worker's memory grows by {grown:.3f}, and not at most {GROWS_AT_MOST}.")
