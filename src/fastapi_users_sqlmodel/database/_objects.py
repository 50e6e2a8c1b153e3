"""Make mapped objects of rows that were read without the ORM."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Table, inspect
from sqlalchemy.orm import Session, make_transient_to_detached

EAGER = {"joined", "selectin", "subquery", "immediate", False}


@lru_cache(maxsize=32)
def plain_columns(mapped: type[Any]) -> dict[str, Column[Any]] | None:
    """Return the column of each attribute, if they are all that the ORM would load; None where it would do more.

    More is what relationships load by themselves, what listens to a load, inheritance, and columns that are computed,
    composed or deferred.
    """
    mapper = inspect(mapped)
    attributes = {attribute.key: attribute for attribute in mapper.column_attrs}
    found = {key: attribute.columns[0] for key, attribute in attributes.items() if not attribute.deferred}
    is_plain = (
        isinstance(mapper.local_table, Table)
        and mapper.inherits is None
        and mapper.polymorphic_on is None
        and not mapper.composites
        and not mapper.class_manager.dispatch.load
        and len(found) == len(attributes)
        and all(isinstance(column, Column) for column in found.values())
        and not any(relationship.lazy in EAGER for relationship in mapper.relationships)
    )
    return found if is_plain else None


def make_loaded(session: Session, mapped: type[Any], names: Sequence[str], values: Sequence[Any]) -> Any:
    """Make the object that the ORM would have loaded from these values, in the session; None if only the ORM can.

    Its gain over the ORM's loading is measured in docs/performance.md.
    """
    mapper = inspect(mapped)
    loaded = mapper.class_manager.new_instance()
    loaded.__dict__.update(zip(names, values, strict=True))
    known = session.identity_map.get(mapper.identity_key_from_instance(loaded))
    if known is not None:
        # The ORM leaves what is loaded as it is, and looks for what has expired.
        return known if all(name in known.__dict__ for name in names) else None
    make_transient_to_detached(loaded)
    session.add(loaded)
    return loaded
