"""The tables: one a file, each column with a comment. The migrations are checked against them."""
