"""Rows in an answer."""

from typing import Any

from pydantic import TypeAdapter
from starlette.responses import Response

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


class RowsResponse(Response):
    """Rows as they were read, by the names of their columns, in JSON as pydantic writes it.

    Their types are the database's promise: to make objects of them, and look at each value again, would take three
    times as long. The route's `response_model` says what they are, and the tests hold them to it.
    """

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write them."""
        return _ANYTHING.dump_json(content)
