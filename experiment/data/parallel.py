"""A function of many items on all cores, its results in order and few of them waiting at a time."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from experiment.system import machine

ProgressCallback = Callable[[str, int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 4  # items a task: handing one over takes as long as a twentieth of a small picture
TOLD = 64  # items between two calls of ``progress``
CHUNKS_AHEAD = 16  # of each thread, at most
BYTES_AHEAD = 1 << 28  # that results may take together while they wait, if they can be foreseen


def in_parallel(
    title: str,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    progress: ProgressCallback,
    result_bytes: int = 0,
) -> Iterator[Result]:
    """Yield a function's results in order, from threads: Pillow and hashlib let others run meanwhile.

    Args:
        title: what is done, for ``progress``.
        function: called with each item once.
        items: what is worked on.
        progress: told of what is done, how many are done, and of how many.
        result_bytes: of one result; it bounds how many wait.
    """
    threads = machine.cores()
    ahead = max(threads + 1, min(CHUNKS_AHEAD * threads, BYTES_AHEAD // (CHUNK * max(result_bytes, 1))))
    chunks = (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
    done = 0
    progress(title, done, len(items))
    with ThreadPoolExecutor(threads) as pool:
        work = functools.partial(_each, function)
        waiting = collections.deque(pool.submit(work, chunk) for chunk in islice(chunks, ahead))
        try:
            while waiting:
                results = waiting.popleft().result()
                # Handed over before the results are used: no thread may wait for that.
                waiting.extend(pool.submit(work, chunk) for chunk in islice(chunks, 1))
                yield from results
                done += len(results)
                if done % TOLD == 0 or not waiting:
                    progress(title, done, len(items))
        finally:
            pool.shutdown(cancel_futures=True)


def _each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    return [function(item) for item in items]
