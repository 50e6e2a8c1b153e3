"""The endpoints, one file for each URL; they do not know each other."""
