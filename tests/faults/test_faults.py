"""Every step survives every fault: nothing finished is lost, nothing wrong is served, the next call
completes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from cutout_server import cutouts_served
from faults.case import Bench, Case
from faults.kinds import FAULTS
from faults.steps import STEPS, lay
from rows import put_row

from gzfeatures.tracking import Tracking

LONG = (
    "run", "extract, compiled", "predict, network", "store import", "doubt",
    "sample", "join", "table export", "odd", "fit, sizes", "explain", "teach",
    "audit", "record",
)  # fmt: skip
"""Steps that an ordinary run leaves out: they, or what they need, take the longest, or files of
their kind are written by others."""
HEAD = "| step | fault | runs | lost | wrong | recovered |"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    forkserver.ensure_running()  # as any test before may have done; ours has to take its place
    inputs = lay(tmp_path_factory.mktemp("faults") / "inputs")
    Tracking(root=inputs / "mlruns")
    with cutouts_served() as server:
        yield Bench(inputs, server.url)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_lost_or_wrong_and_the_next_call_completes(
    step: str, fault: str, bench: Bench, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    given = request.config.getoption("--moments")
    kills, others = given or (0 if step in LONG else 1, 0)
    moments = kills if fault == "SIGKILL" else others
    if not moments and not given:
        pytest.skip(
            "an ordinary run kills single steps only: --moments 25 2 has every fault and whole runs"
        )
    if needed := STEPS[step].needed:
        pytest.importorskip(needed)
    case = Case(bench, step, tmp_path / "desk")
    for moment in range(moments):
        FAULTS[fault](case, moment)
        if fault != "SIGKILL":
            case.recovers()
    case.recovers()
    shutil.rmtree(tmp_path, ignore_errors=True)
    if request.config.getoption("--moments"):
        row = (step, fault, case.runs, len(case.lost), len(case.wrong), case.recovered)
        put_row(Path(__file__).with_name("README.md"), HEAD, row, keys=2)
    assert case.runs >= moments
    if case.verdict:
        pytest.fail(case.verdict, pytrace=False)
