"""Closed forms out of a trained solution, checked against its problem."""
