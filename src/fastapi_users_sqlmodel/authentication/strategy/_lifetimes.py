"""Lifetimes that the strategies refuse."""


def require_lifetime(strategy: str, lifetime_seconds: int | None) -> None:
    """Refuse a lifetime of zero or less; None is without end.

    FastAPI Users reads 0 as None: tokens that should never work would never end.

    Raises:
        ValueError: It is zero or less.
    """
    if lifetime_seconds is not None and lifetime_seconds <= 0:
        raise ValueError(
            f"{strategy}(lifetime_seconds={lifetime_seconds!r}): give a number of seconds greater than 0, "
            "or None for tokens without end"
        )
