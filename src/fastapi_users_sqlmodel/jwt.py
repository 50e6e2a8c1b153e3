"""FastAPI Users' functions that sign and read JSON Web Tokens."""

from fastapi_users.jwt import JWT_ALGORITHM, SecretType, decode_jwt, generate_jwt

__all__ = ["JWT_ALGORITHM", "SecretType", "decode_jwt", "generate_jwt"]
