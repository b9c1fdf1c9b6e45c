"""What a referee asks of an estimate, each method with the rows that it gives a table."""
