"""The type of a third party: pgvector's."""

from typing import Any

import sqlalchemy as sa
from pgvector.sqlalchemy import Vector  # type: ignore[import-not-found]  # installed outside alone
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "document"
    __table_args__ = (
        sa.Index(
            "ix_document_embedding",
            "embedding",
            postgresql_using="hnsw",
            postgresql_with={"m": 16},
            postgresql_ops={"embedding": "vector_cosine_ops"},
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    embedding: Mapped[Any] = mapped_column(Vector(3))
    free: Mapped[Any | None] = mapped_column(Vector)


def fill(connection: sa.Connection) -> None:
    """Insert a row."""
    connection.execute(sa.text("INSERT INTO document (embedding) VALUES ('[1,2,3]')"))
