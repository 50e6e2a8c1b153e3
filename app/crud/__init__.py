"""Queries and changes: a collection for each noun, on the session that it is given."""
