"""What is measured: each of these fills one section of the report."""
