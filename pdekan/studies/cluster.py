"""Dask clusters of a study: worker processes on this machine, or a cluster that is already running."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pdekan.studies.rows import StudyError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

CONNECT_SECONDS = 5.0
WORKER_CLOSE_SECONDS = 1.0  # deadline for workers to end by themselves, after all results have arrived
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# glibc's malloc then keeps freed memory. Dask's workers return it at once, which took a third of the time of a training with
# arrays of some megabytes at every step.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**30)}


@contextmanager
def cluster(workers: int | None, scheduler: str | None, tasks: int) -> Iterator[Client]:
    """A client of the cluster at an address, or of a local one that ends with the block."""
    import dask
    from dask.system import CPU_COUNT
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    # Dask's 15 s for the restart of a dead worker are too few on a busy machine
    long_timeout = dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    with silence_logging_cmgr(logging.CRITICAL), long_timeout:
        if scheduler is None:
            with _local_cluster(min(workers or CPU_COUNT, tasks)) as local, Client(local, set_as_default=False) as client:
                yield client
            return
        _check_answers(scheduler)
        with Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False) as client:
            yield client


def _check_answers(scheduler: str) -> None:
    """Raise StudyError where no Dask scheduler answers; a client would wait for ever for another kind of server."""
    import asyncio

    from distributed import Security
    from distributed.comm.core import connect

    async def handshake() -> None:
        connection = connect(scheduler, **Security().get_connection_args("client"))
        await (await asyncio.wait_for(connection, CONNECT_SECONDS)).close()

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook's own thread has an event loop already
            thread.submit(asyncio.run, handshake()).result()
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # the last two: no certificates, none in the address
        why = str(error) or f"not a word in {CONNECT_SECONDS:.0f} s"
        raise StudyError(
            f"scheduler {scheduler!r} does not answer ({why}); `dask scheduler` starts one and tells its address, "
            "tcp://host:port; for one with TLS, tls://host:port, Dask's configuration has to name the certificates"
        ) from None


@contextmanager
def _local_cluster(workers: int) -> Iterator[LocalCluster]:
    """Worker processes on this machine, which end with the block and obey this process alone.

    Scheduler and workers run what their clients send: they answer only those that show the certificate made here, for this
    cluster; the workers get it through a pipe. They import modules from Dask's temporary directory, and so have one of their
    own: the common one may belong to another user.
    """
    import asyncio

    import dask

    async def end() -> None:
        # a timeout on a busy machine must not fail a finished study; the workers end with this process
        closing = [nanny.close(timeout=WORKER_CLOSE_SECONDS) for nanny in local.workers.values()]
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, TimeoutError):
                raise outcome

    with _environment(ONE_THREAD | KEEP_MEMORY), ExitStack() as stack:
        directory = stack.enter_context(TemporaryDirectory(prefix="pdekan-", ignore_cleanup_errors=True))
        stack.enter_context(dask.config.set({"temporary-directory": directory}))
        with _interrupts_blocked():
            local = stack.enter_context(_started(workers))
            stack.callback(local.sync, end)
        yield local


def _started(workers: int) -> LocalCluster:
    from distributed import LocalCluster, Security

    try:
        return LocalCluster(
            security=Security.temporary(),
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=None,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError as error:
        raise StudyError(f'workers do not start ({error}); does your script have its `if __name__ == "__main__":`?') from None


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for processes started in the block; all changes, Dask's too, are undone after it."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """SIGINT is blocked in threads and processes started in the block: the caller of `run` handles Ctrl-C."""
    resource_tracker.ensure_running()  # else multiprocessing starts it later, and unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
