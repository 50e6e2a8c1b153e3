"""FastAPI Users' routes, hardened; one file for each family."""
