"""Problems: domain, equation, conditions, parameters, data and options.

May import fields, domains.
"""
