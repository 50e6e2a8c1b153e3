"""A word to the client."""

from app.schemas.base import Schema


class Message(Schema):
    """A sentence for a person."""

    message: str


class Health(Schema):
    """How the service is."""

    status: str
