"""Sets of rows to score: a file a kind."""
