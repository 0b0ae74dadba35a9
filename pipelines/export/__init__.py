"""Vectors of a version -> the files of another tool."""
