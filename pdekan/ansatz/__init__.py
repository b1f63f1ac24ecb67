"""The ansatz: how unknowns and parameters come out of a network; exact conditions, enrichments, slabs of time.

May import fields, domains, networks, problems.
"""
