"""A plot of cost against size: an SVG that is only a picture."""

import math
import re

import pygal  # type: ignore[import-untyped]  # It has no types
from pygal.style import Style  # type: ignore[import-untyped]  # Likewise

from bench.report import Section

COLOURS = ("#0b6e99", "#d9730d", "#0f7b6c", "#ad1a72", "#6940a5")
DASHES = {"postgresql": "", "sqlite": "6, 4"}


def growth_chart(section: Section) -> str:
    """Draw what growth has found: milliseconds by number of users, a line for each request on each database."""
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for record in section.records:
        line = lines.setdefault((record["database"], record["request"]), [])
        line.append((math.log10(record["users"]), record["milliseconds"]))
    requests = list(dict.fromkeys(request for _, request in lines))
    sizes = sorted({record["users"] for record in section.records})
    chart = pygal.XY(
        title="Milliseconds per response, by number of users (SQLite dashed)",
        x_title="users",
        width=960,
        height=640,
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        truncate_legend=-1,
        range=(0, max(cost for line in lines.values() for _, cost in line) * 1.1),
        js=[],
        no_prefix=True,
        style=Style(
            background="white",
            plot_background="white",
            # A line of the same request has the same colour on both databases.
            colors=tuple(COLOURS[requests.index(request) % len(COLOURS)] for _, request in lines),
            font_family="sans-serif",
            legend_font_size=12,
        ),
    )
    chart.x_labels = [{"label": f"{size:,}", "value": math.log10(size)} for size in sizes]
    for (kind, request), line in lines.items():
        name = "PostgreSQL" if kind == "postgresql" else "SQLite"
        chart.add(f"{name}: {request}", line, stroke_style={"width": 2, "dasharray": DASHES[kind]})
    # No scripts, and no comments, which name other people's pages and the day.
    picture = re.sub(
        r"<script.*?</script>|<script[^>]*/>|<!--.*?-->", "", chart.render(is_unicode=True), flags=re.DOTALL
    )
    return re.sub(r' id="chart-[^"]*"', "", picture) + "\n"
