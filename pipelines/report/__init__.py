"""a published version -> one page that a stranger can read, with nothing to fetch from anywhere."""
