"""Exit codes of commands, and the error of a command that cannot be carried out."""

from __future__ import annotations

DONE, INTERNAL, USAGE, NOT_CONVERGED, RESUMABLE, INTERRUPTED = 0, 1, 2, 3, 75, 130


class UsageError(ValueError):
    """A command that cannot be carried out as given."""
