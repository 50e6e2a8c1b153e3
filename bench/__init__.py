"""How fast, against what: measured, and written into the docs by a program."""
