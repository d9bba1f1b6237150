"""Measure the load of this machine, and check whether a process has ended."""

from __future__ import annotations

import platform

import psutil

from gzfeatures.tracking._compat_mlflow import monitors

SAME_SECONDS = 60.0
"""Two start times of one process id that differ by more seconds are of different processes."""


def this_process() -> str:
    """Return host name, process id and start time (s since 1970) of this process as text."""
    process = psutil.Process()
    return f"{platform.node()} {process.pid} {process.create_time():.0f}"


def has_ended(process: str) -> bool:
    """Return whether a process of this machine has ended; False if it ran on another machine."""
    host, number, began = process.rsplit(" ", 2)
    if host != platform.node():
        return False
    try:
        since: float = psutil.Process(int(number)).create_time() - float(began)
    except psutil.NoSuchProcess:
        return True
    # the system may have given the id of the ended process to a new one, which started later
    return abs(since) > SAME_SECONDS


class Machine:
    """Measure the load of processors, memory and, if `nvidia-ml-py` is installed, GPUs."""

    def __init__(self) -> None:
        self._monitors = monitors()
        self.sample()

    def sample(self) -> dict[str, float]:
        """Return the machine's load in percent, megabytes or watts, by metric name `system/…`.

        The load of processors is their mean load since the last call of this method.
        """
        metrics: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.clear_metrics()
            monitor.collect_metrics()
            metrics |= {
                f"system/{name}": float(value)
                for name, value in monitor.aggregate_metrics().items()
            }
        return metrics
