"""Trainings in processes that are killed at once, as by a machine that goes down.

The processes are forked, so that nothing needs to be imported again.
"""

import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import torch
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmpose.registry import DATASETS, HOOKS, MODELS
from torch import nn

from prtr_plugin import apis, fileio
from prtr_plugin.engine import file_backend
from prtr_plugin.engine.hooks import checkpoint_hook

# where saving happens: a process can be killed at any line of these files
SAVING = {module.__file__ for module in (fileio, file_backend, checkpoint_hook)}

CONFIG = """
default_scope = 'mmpose'
model = dict(type='ToyModel')
train_dataloader = dict(
    batch_size=1, sampler=dict(type='DefaultSampler'), dataset=dict(type='ToyDataset')
)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.0, momentum=0.9))
train_cfg = dict(by_epoch=True, max_epochs=100000)
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1),
    logger=dict(type='LoggerHook', interval=1000000),
)
custom_hooks = [dict(type='ReportHook', priority='LOWEST')]
log_level = 'ERROR'
"""


@MODELS.register_module()
class ToyModel(BaseModel):
    """Checkpoints of 2 MB with the state of the optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1000, 250)

    def forward(self, x, mode='loss', **kwargs):
        return dict(loss=self.linear(torch.stack(x)).mean())


@DATASETS.register_module()
class ToyDataset(BaseDataset):
    """One sample."""

    def load_data_list(self) -> list:
        return [dict(x=torch.ones(1000))]


@HOOKS.register_module()
class ReportHook(Hook):
    """Tells the parent process where training started and what has been saved."""

    pipe = kill = None

    def before_train(self, runner):
        self.pipe.send(('start', runner.epoch))
        self.kill()

    def after_train_epoch(self, runner):
        self.pipe.send(('saved', runner.epoch + 1))


def kill_at_a_line(rng: random.Random) -> None:
    """Kill this process at a random line of the code that saves."""
    left = rng.randrange(1, 250)

    def trace(frame, event, arg):
        nonlocal left
        if frame.f_code.co_filename not in SAVING:
            return None
        if event == 'line':
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def kill_in_a_write(rng: random.Random) -> None:
    """Kill this process when a part of a file has been written."""
    left, write = rng.randrange(1, 4), Path.write_bytes

    def write_a_part(path, content):
        nonlocal left
        left -= 1
        if left:
            return write(path, content)
        write(path, content[: rng.randrange(len(content))])
        os.kill(os.getpid(), signal.SIGKILL)

    Path.write_bytes = write_a_part


def kill_after_a_while(rng: random.Random) -> None:
    """Kill this process at a random time."""

    def wait() -> None:
        time.sleep(rng.uniform(0.0, 0.3))
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


KILLERS = [kill_at_a_line, kill_in_a_write, kill_after_a_while]


def train(config, work_dir, pipe, rng, killer) -> None:
    """Train until something kills this process."""
    sys.stdout = sys.stderr = open(os.devnull, 'w')
    ReportHook.pipe, ReportHook.kill = pipe, staticmethod(partial(killer, rng))
    try:
        apis.train(str(config), work_dir=str(work_dir), resume=True)
    except BaseException as error:
        pipe.send(('error', repr(error)))


def kill_runs(folder: Path, number: int, seed: int = 0) -> list[tuple[int, int, str | None]]:
    """Start a training again and again, and kill it.

    Args:
        folder (Path): Folder for the config and the work folder
        number (int): Number of kills
        seed (int): Seed of the kills

    Returns:
        list[tuple[int, int, str | None]]: For each start the epoch of the last checkpoint that
        the runs before had finished saving, the epoch from which it went on, -1 if it did not,
        and its error, if any.
    """
    config = folder / 'config.py'
    config.write_text(CONFIG)
    context, rng = multiprocessing.get_context('fork'), random.Random(seed)
    saved, starts = 0, []
    for i in range(number + 1):
        receiver, sender = context.Pipe(duplex=False)
        args = (config, folder / 'run', sender, rng, KILLERS[i % len(KILLERS)])
        rng.random()  # the child has a copy
        process = context.Process(target=train, args=args)
        process.start()
        sender.close()
        before, start, failure = saved, -1, None
        # not until the end of the pipe: what a run has started may keep that open
        while receiver.poll(0.05) or process.is_alive():
            try:
                what, value = receiver.recv() if receiver.poll() else (None, None)
            except EOFError:
                break
            if what == 'saved':
                saved = value
            elif what == 'error':
                failure = value
            elif what == 'start':
                # it may be one that a run was killed after, before it could tell
                start, saved = value, max(saved, value)
        process.join()
        starts.append((before, start, failure))
    return starts
