"""Problem files: schema, reader, lexer, parser, interpreter, validation, well-posedness, library, measurements.

May import fields, output, domains, problems, ansatz.
"""
