"""Machine: how busy it is during a run, under the names that MLflow's tab of system metrics shows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any


class Machine:
    """Processors, memory, and NVIDIA GPUs where `nvidia-ml-py` is installed."""

    def __init__(self) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

        kinds: list[Any] = [CPUMonitor, GPUMonitor]
        self._monitors: list[Any] = []
        for kind in kinds:
            with suppress(ImportError, RuntimeError):  # no GPU of that make, or nothing to ask it with
                self._monitors.append(kind())
        self.sample()

    def sample(self) -> dict[str, float]:
        """`system/…` → percent, megabytes or watts; of the processors the mean since the last sample."""
        found: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.clear_metrics()
            monitor.collect_metrics()
            found |= {f"system/{name}": float(value) for name, value in monitor.aggregate_metrics().items()}
        return found
