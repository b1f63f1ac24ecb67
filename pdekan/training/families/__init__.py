"""Families of problems: one network for all values of parameters, or a network for each of some members."""
