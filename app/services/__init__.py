"""Background work over several tables or with other servers."""
