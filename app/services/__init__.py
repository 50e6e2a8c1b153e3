"""What is decided across two tables, or with the outside world."""
