"""The service: users, groups, items and posts, on the library."""
