"""Altered inputs by the thousand: problem files, expressions, tables, runs and meshes.

    python tests/fuzzing.py --count 100000 --seed 0

reads so many inputs, each made from the seed and its number, in processes of their own, and prints for every kind how many were
read and how many refused. It fails, with the numbers that make the inputs again, where reading ends with anything else than the
errors meant for users, takes more than two seconds of the processor, or more than a gigabyte. `--one KIND NUMBER` reads one.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing as mp
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from altered import READERS, generator, runs

SECONDS, BYTES = 2.0, 1_000_000_000
SHARES = {"problem": 30, "expression": 40, "table": 18, "run": 10, "mesh": 2}  # percent of the inputs of each kind
BATCH = 1000  # inputs a process reads
LOST = 60.0  # seconds without a word from a process after which it is ended


@dataclass(frozen=True)
class Outcome:
    """What became of an input: "read", "refused", or the words of a failure; the seconds it took."""

    kind: str
    number: int
    result: str
    seconds: float

    @property
    def failed(self) -> bool:
        return self.result not in ("read", "refused")


class TooSlowError(BaseException):
    """Raised in the reading of an input that takes too long."""


def _slow(*_: object) -> None:
    raise TooSlowError


def attempt(kind: str, number: int, seed: int, folder: Path, timed: bool = True) -> Outcome:
    """Read one input. timed: whether it may take no more than SECONDS and BYTES."""
    from pdekan import cli

    rng = generator(seed, kind, number)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    signal.signal(signal.SIGVTALRM, _slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, 10.0 * SECONDS if timed else 0.0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            READERS[kind](rng, folder)
        result = "read"
    except TooSlowError:
        result = "hangs: " + traceback.format_exc().splitlines()[-4].strip()
    except Exception as error:
        result = "refused"
        if not cli._is_users(error) or isinstance(error, OSError):
            places = traceback.extract_tb(error.__traceback__)
            ours = [one for one in places if "pdekan" in one.filename and "site-packages" not in one.filename]
            where = (ours or places)[-1]
            result = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno} ({str(error)[:80]})"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
    seconds = time.process_time() - started
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if timed and grown > BYTES:
        result = f"takes {grown / 1e9:.1f} GB ({result})"
    elif timed and seconds > SECONDS and not result.startswith("hangs"):
        result = f"takes {seconds:.1f} s ({result})"
    return Outcome(kind, number, result, seconds)


def _process(kind: str, numbers: range, seed: int, shared: Path, pipe: Any) -> None:
    """What a process of its own does: read some inputs."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * BYTES, 4 * BYTES))
    folder = shared / str(os.getpid())
    folder.mkdir()
    with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
        if kind == "run":
            runs(shared)
        attempt(kind, -1, seed, folder)  # what is imported takes time
        for number in numbers:
            pipe.send(number)
            pipe.send(attempt(kind, number, seed, folder))
    shutil.rmtree(folder)


def outcomes(kind: str, count: int, seed: int, shared: Path) -> Iterator[Outcome]:
    """Read inputs in processes of their own; one that dies, or is silent, is replaced, and its input has failed."""
    context, done = mp.get_context("spawn"), 0
    while done < count:
        receiver, sender = context.Pipe(duplex=False)
        batch = range(done, min(count, done + BATCH))
        process = context.Process(target=_process, args=(kind, batch, seed, shared, sender))
        process.start()
        sender.close()
        reading, patience = done, 10.0 * LOST  # at first packages are imported, which takes minutes on a busy machine
        with contextlib.suppress(EOFError):
            while reading < batch.stop and receiver.poll(patience):
                said, patience = receiver.recv(), LOST
                if isinstance(said, Outcome):
                    reading += 1
                    yield said
        if reading < batch.stop:
            process.kill()
            process.join()
            yield Outcome(kind, reading, f"the process ended with {process.exitcode}", 0.0)
            reading += 1
        process.join()
        done = reading


def main() -> int:
    """Read all inputs and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(SHARES))
    parser.add_argument("--one", nargs=2, metavar=("KIND", "NUMBER"))
    options = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        if options.one:
            kind, number = options.one
            (Path(name) / "one").mkdir()
            READERS[kind](generator(options.seed, kind, int(number)), Path(name) / "one")
            return 0
        kinds = options.kinds.split(",")
        for kind in kinds:
            started, results, slowest, examples = time.monotonic(), Counter[str](), 0.0, {}
            for one in outcomes(kind, options.count * SHARES[kind] // sum(SHARES[k] for k in kinds), options.seed, Path(name)):
                results["failed" if one.failed else one.result] += 1
                slowest = max(slowest, one.seconds)
                if one.failed:
                    examples.setdefault(one.result, []).append(one.number)
            failures += results["failed"]
            counts = ", ".join(f"{results[name]} {name}" for name in ("read", "refused", "failed"))
            taken = f"the slowest took {slowest:.1f} s, all {time.monotonic() - started:.0f} s"
            sys.stdout.write(f"{kind}: {results.total()} inputs, {counts}; {taken}\n")
            for result, numbers in sorted(examples.items(), key=lambda item: -len(item[1])):
                sys.stdout.write(f"    {len(numbers)} × {result}: {numbers[:5]}\n")
            sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
