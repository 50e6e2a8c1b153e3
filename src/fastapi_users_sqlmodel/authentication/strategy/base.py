"""What a strategy is, as FastAPI Users has it."""

from fastapi_users.authentication.strategy.base import Strategy, StrategyDestroyNotSupportedError

__all__ = ["Strategy", "StrategyDestroyNotSupportedError"]
