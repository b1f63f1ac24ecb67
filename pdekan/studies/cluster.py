"""Dask clusters that a study trains on: processes of this machine, or machines that somebody else has set up."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from pdekan.studies.rows import StudyError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

CONNECT_SECONDS = 5.0
FAREWELL_SECONDS = 1.0  # for workers to end by themselves; all they had to say has been heard
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# glibc's malloc keeps the memory it has. Dask lets workers give it back at once, which for arrays of some megabytes, made anew
# at every step, took a third of the time of a training.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**30)}


@contextmanager
def cluster(workers: int | None, scheduler: str | None, tasks: int) -> Iterator[Client]:
    """A client of the cluster at an address, or of one that is started here and ends with the block."""
    import dask
    from dask.system import CPU_COUNT
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    # Dask gives a worker that died 15 s to come back, which is little on a busy machine
    patient = dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    with silence_logging_cmgr(logging.CRITICAL), patient:
        if scheduler is None:
            with _local_cluster(min(workers or CPU_COUNT, tasks)) as local, Client(local, set_as_default=False) as client:
                yield client
            return
        _greet(scheduler)
        with Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False) as client:
            yield client


def _greet(scheduler: str) -> None:
    """Shake hands with a scheduler. Raises StudyError where none answers; a client would wait for ever where another does."""
    import asyncio

    from distributed import Security
    from distributed.comm.core import connect

    async def shake() -> None:
        hand = connect(scheduler, **Security().get_connection_args("client"))
        await (await asyncio.wait_for(hand, CONNECT_SECONDS)).close()

    try:
        with ThreadPoolExecutor(1) as thread:  # this one may have an event loop of its own, in a notebook
            thread.submit(asyncio.run, shake()).result()
    except (OSError, ValueError) as error:
        why = str(error) or f"not a word in {CONNECT_SECONDS:.0f} s"
        raise StudyError(
            f"scheduler {scheduler!r} does not answer ({why}); `dask scheduler` starts one and tells its address, tcp://host:port"
        ) from None


@contextmanager
def _local_cluster(workers: int) -> Iterator[LocalCluster]:
    """Worker processes on this machine, reached by nobody else; they are ended with the block."""
    import asyncio

    async def end() -> None:
        # on a busy machine they may take longer, which is no reason to lose a study that is done; this process takes them along
        farewells = [nanny.close(timeout=FAREWELL_SECONDS) for nanny in local.workers.values()]
        for outcome in await asyncio.gather(*farewells, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, TimeoutError):
                raise outcome

    with _environment(ONE_THREAD | KEEP_MEMORY), ExitStack() as stack:
        with _deaf_to_interrupts():
            local = stack.enter_context(_started(workers))
            stack.callback(local.sync, end)
        yield local


def _started(workers: int) -> LocalCluster:
    from distributed import LocalCluster

    try:
        return LocalCluster(
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
    """Variables for the processes that are started in the block, by which Dask sets some as well; then all is as it was."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Threads started in the block, and their processes, never see Ctrl-C: what it means is for the caller of `run` to say."""
    resource_tracker.ensure_running()  # multiprocessing would start it later, and unblock the signal as it does
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
