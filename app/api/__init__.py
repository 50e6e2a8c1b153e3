"""The service in HTTP."""
