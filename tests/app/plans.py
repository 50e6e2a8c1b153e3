"""How a database means to answer, in the words of either one."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from tests.app.wired import Statement

# What grows with the people: of these, nothing should be read from end to end.
GROWING = {"user", "user_session", "user_token", "user_audit_event", "item", "post"}


@dataclass
class Plan:
    """What happens to the tables that grow."""

    # By what they are searched, or read in order.
    indexes: set[str] = field(default_factory=set)
    # Which are read from end to end, and of which rows are sorted before there are no more than asked for.
    whole: set[str] = field(default_factory=set)
    sorted: set[str] = field(default_factory=set)
    # Whether an index is entered in the middle, where a page begins.
    is_entered: bool = False


async def plans(connection: AsyncConnection, statement: Statement) -> list[Plan]:
    """Ask a database what it would do; PostgreSQL also if it did not know the values, as when it has prepared it."""
    text, values = statement
    if connection.dialect.name == "sqlite":
        lines = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
        return [_plan_of_sqlite(text, [(line.parent, line.detail) for line in lines])]
    explained = [await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {text}", values)]
    if values:
        unknown = ", ".join(["NULL"] * len(values))
        await connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.exec_driver_sql(f"PREPARE prepared AS {text}")
        explained.append(await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) EXECUTE prepared({unknown})"))
        await connection.exec_driver_sql("DEALLOCATE prepared")
    return [_plan_of_postgresql(answer.scalar_one()) for answer in explained]


def _plan_of_sqlite(text: str, lines: list[tuple[int, str]]) -> Plan:
    plan = Plan()
    # Without a condition (`1 = 1` is none), a page is the first rows in the order of the key.
    is_page_of_all = "LIMIT" in text and re.search(r"WHERE (?!1 = 1)", text) is None
    for parent, line in lines:
        match line.split():
            case ["SCAN" | "SEARCH" as how, table, *_] if table in GROWING:
                index = re.search(r"INDEX (\S+)", line)
                is_key = index is None or index[1] == f"sqlite_autoindex_{table}_1"
                plan.indexes.add(f"pk_{table}" if index is None or is_key else index[1])
                plan.is_entered |= re.search(r"[<>]\?", line) is not None
                if how == "SCAN" and not is_page_of_all:
                    plan.whole.add(table)
            case ["USE", "TEMP", "B-TREE", *_]:
                plan.sorted.update(GROWING & {word for of, other in lines if of == parent for word in other.split()})
    return plan


def _plan_of_postgresql(explained: Any) -> Plan:
    plan = Plan()
    [top] = json.loads(explained) if isinstance(explained, str) else explained
    _look_at(top["Plan"], plan)
    return plan


def _look_at(node: dict[str, Any], plan: Plan, *, table: str = "", is_limited: bool = False) -> set[str]:
    """Note what a node does, and return the tables of which rows come out of it, as many as there are."""
    kind, table = node["Node Type"], node.get("Relation Name", table)
    tables = {table} & GROWING if kind.endswith("Scan") else set()
    is_limited = is_limited or kind == "Limit"
    for below in node.get("Plans", []):
        tables |= _look_at(below, plan, table=table, is_limited=is_limited)
    if "Index Name" in node and table in GROWING:
        plan.indexes.add(node["Index Name"])
        plan.is_entered |= re.search(" [<>] ", node.get("Index Cond", "")) is not None
        # Without a condition, a page is the first rows in the order of the index.
        if "Index Cond" not in node and (not is_limited or "Filter" in node):
            plan.whole.add(table)
    if kind == "Seq Scan":
        plan.whole.update(tables)
    if kind in {"Sort", "Incremental Sort"}:
        plan.sorted.update(tables)
    return set() if kind == "Limit" else tables
