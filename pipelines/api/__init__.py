"""A root, read from Python: search, vectors, tables, samples and translation, without Ray.

`echolens.py` at the top of the package gives these names; nothing here writes to a root.
"""
