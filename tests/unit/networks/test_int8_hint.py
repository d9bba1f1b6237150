"""After a long run on a CPU that multiplies 8-bit integers, int8 is offered."""

from __future__ import annotations

import pytest

from gzfeatures.networks import hardware
from gzfeatures.networks.hardware import Hardware, int8_hint


@pytest.mark.parametrize(
    ("device", "precision", "flags", "seconds", "offered"),
    [
        ("cpu", "float32", ["avx2", "avx512_vnni"], 60, True),
        ("cpu", "bfloat16", ["amx_int8"], 3600, True),
        ("cpu", "float32", ["avx2", "avx512_vnni"], 59, False),
        ("cpu", "float32", ["avx2"], 3600, False),
        ("cpu", "int8", ["avx_vnni"], 3600, False),
        ("cuda", "float16", ["avx_vnni"], 3600, False),
    ],
)
def test_int8_is_offered_where_it_pays(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    precision: str,
    flags: list[str],
    seconds: float,
    offered: bool,
) -> None:
    monkeypatch.setattr(hardware, "cpu_flags", lambda: flags)
    hint = int8_hint(Hardware(device, precision, ""), seconds)
    assert (hint is not None) == offered
    assert hint is None or ("--precision int8" in hint and flags[-1] in hint)
