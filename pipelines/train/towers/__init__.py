"""Towers that are trained into the space of another encoder, whose vectors are their locked targets."""
