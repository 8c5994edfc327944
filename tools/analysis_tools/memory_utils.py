"""Memory of a process, for the scripts of this folder."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def resident_set(field: str) -> int | None:
    """``VmRSS`` or ``VmHWM`` of this process in bytes, or None where the
    system does not tell.

    Not ``getrusage``: a new process inherits its peak from the one that
    started it.
    """
    status = Path('/proc/self/status')
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith(f'{field}:'):
                return int(line.split()[1]) * 1024
    return None


def added_memory(work: Callable[[], Any]) -> int | None:
    """Bytes that ``work`` adds to the resident set of this process at its
    peak. It should not have done such work before, because what is freed may
    stay in the resident set."""
    gc.collect()
    try:
        # forget the peak of what came before
        Path('/proc/self/clear_refs').write_text('5')
    except OSError:
        pass
    before = resident_set('VmRSS')
    work()
    after = resident_set('VmHWM')
    return None if before is None or after is None else after - before


def memory_in_new_process(*arguments: str) -> int | None:
    """What a new process of this script prints in its last line.

    The C library of Linux is told to return freed blocks to the system at
    once, so that the resident set follows what is in use.

    Args:
        *arguments (str): Added to the arguments of this process.
    """
    done = subprocess.run(
        [sys.executable, *sys.argv, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        env=dict(os.environ, MALLOC_MMAP_THRESHOLD_=str(2**16)),
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def cuda_memory(work: Callable[[], Any], device: torch.device) -> int:
    """The largest number of bytes allocated on the device during ``work``,
    with what was there before."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return torch.cuda.max_memory_allocated(device)
