"""Run a training step by step so that it may be killed at any moment and goes on where it was.

All chance of a step is a function of the seed and of the step's number (`uniforms`), so that no
state of a generator has to be kept: a training that was interrupted ends in the same bytes as one
that was not, on the same machine with the same number of threads. `state.pt` (weights, their
average, optimizer, step) is replaced whole about every ten minutes; `log.jsonl` gets a line for
every hundred steps and for every validation, and loses the lines after the step it goes on from.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from gzfeatures.errors import InputError
from gzfeatures.files import lock_folder, written_whole
from gzfeatures.networks.training.checkpoint import read_state

STATE, LOG = "state.pt", "log.jsonl"


class Task(Protocol):
    """What is trained."""

    settings: dict[str, Any]
    total: int
    every: int
    """Steps in all, and between two validations."""

    def step(self, number: int) -> dict[str, float]:
        """Change the weights once."""

    def validate(self) -> dict[str, float]:
        """Metrics of the galaxies that choices are made on."""

    def state(self) -> dict[str, Any]:
        """Tensors and plain values to go on from."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state`."""


def uniforms(seed: int, step: int, rows: int, columns: int) -> torch.Tensor:
    """Uniform numbers of one step, float32 in [0, 1), shape (rows, columns)."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, step])))
    return torch.from_numpy(generator.random((rows, columns), dtype=np.float32))


def averaged(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move the running average of all weights and statistics; it follows faster in the first
    steps."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for kept, new in zip(
            average.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if kept.is_floating_point():
                kept.lerp_(new, weight)
            else:
                kept.copy_(new)


def rate(step: int, total: int, warm: int, peak: float) -> float:
    """Learning rate of a step: a straight rise over `warm` steps, then half a cosine down to 0."""
    if step < warm:
        return peak * (step + 1) / warm
    return float(peak * 0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, total - warm))))


def save(task: Task, folder: Path, step: int) -> None:
    """Replace the state on disk; a kill leaves the old or the new one."""
    # of a file object, for torch would write the name of a path, here a random one, into the file
    with written_whole(folder / STATE) as temporary, temporary.open("wb") as file:
        torch.save({"step": step, "settings": task.settings, "task": task.state()}, file)


def resume(task: Task, folder: Path) -> int:
    """Step to go on from, the task being put there; 0 where nothing is kept.

    Raises
    ------
    InputError
        The folder is that of a training with other settings.
    """
    for left in folder.glob(f".{STATE}.*"):  # of a process that was killed while it wrote
        left.unlink()
    if not (folder / STATE).exists():
        return 0
    state = read_state(folder / STATE)
    if state["settings"] != task.settings:
        changed = sorted(k for k in task.settings if state["settings"].get(k) != task.settings[k])
        raise InputError(
            "settings",
            where=folder,
            rule="be those the training began with",
            found=", ".join(changed),
        )
    task.restore(state["task"])
    step = int(state["step"])
    log = folder / LOG
    if log.exists():
        lines = [
            line for line in log.read_text("utf-8").splitlines() if json.loads(line)["step"] <= step
        ]
        with written_whole(log) as temporary:
            temporary.write_text("".join(line + "\n" for line in lines), "utf-8")
    return step


def note(folder: Path, step: int, **fields: float) -> None:
    """Add a line to the log."""
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **{k: round(v, 6) for k, v in fields.items()}}) + "\n")


def run(task: Task, folder: Path, *, minutes: float = 10.0, stop: int | None = None) -> int:
    """Train to the end, or to step `stop`; returns the step that was reached.

    SIGTERM and SIGINT end it after the step that is on, its state written. A second process on the
    same folder waits.
    """
    lock_folder(folder, print)
    ended: list[int] = []
    before = {
        name: signal.signal(name, lambda number, _: ended.append(number))
        for name in (signal.SIGTERM, signal.SIGINT)
    }
    step = start = resume(task, folder)
    last = min(task.total, task.total if stop is None else stop)
    saved = began = time.monotonic()
    worked, losses = time.process_time(), []
    print(f"process {os.getpid()}: step {start} of {task.total}", flush=True)
    try:
        while step < last and not ended:
            torch.manual_seed(step)
            losses.append(task.step(step))
            step += 1
            if step % 100 == 0:
                means = {
                    name: sum(each[name] for each in losses) / len(losses) for name in losses[0]
                }
                spent = {
                    "seconds": time.monotonic() - began,
                    "processor": time.process_time() - worked,
                }
                note(folder, step, **means, steps=len(losses), **spent)
                began, worked, losses = time.monotonic(), time.process_time(), []
            if step % task.every == 0 or step == task.total:
                note(folder, step, **task.validate())
                began, worked, losses = time.monotonic(), time.process_time(), []
            if time.monotonic() - saved > 60 * minutes:
                save(task, folder, step)
                saved = time.monotonic()
        if step > start:
            save(task, folder, step)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    return step
