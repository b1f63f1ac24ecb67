"""Solutions: the value that a training ends with, its samples, its file, and references read from files.

May import fields, output, domains, networks, problems, ansatz, fem, problem_files, errors.
"""
