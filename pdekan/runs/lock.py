"""The lock of a run's directory: one process at a time writes there, and it can."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pdekan.output.atomic import remove_orphans
from pdekan.output.samples import OutputError

LOG = logging.getLogger(__name__)
# of file systems without locks, and of NFS, which locks only what is open for writing
UNSUPPORTED = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a directory for this process; the lock leaves no file and ends with the process.

    Raises OutputError where another process has it, and where nothing can be written there. Where the file system has no such
    locks that is logged.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{directory}: another process is at work on this run; wait for it, end it, or choose another directory"
            ) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            LOG.warning("%s cannot be locked (%s): no second process may write there", directory, error.strerror)
        _check_writable(directory)
        remove_orphans(directory)
        yield
    finally:
        os.close(descriptor)


def _check_writable(directory: Path) -> None:
    """Raise OutputError where no file can be written, so that this is not found out after training."""
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise OutputError(f"{directory}: nothing can be written there ({error.strerror}); choose another directory") from error
