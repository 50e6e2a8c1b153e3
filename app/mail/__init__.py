"""What we write to people, and how it leaves."""
