"""Vectors of one space -> vectors of another."""
