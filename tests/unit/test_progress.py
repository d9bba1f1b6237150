"""Lines and bars go where the caller says, and leave the lines of old in a log file."""

from __future__ import annotations

import io
import pickle
import re
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gzfeatures.explore.neighbours import nearest
from gzfeatures.progress import SILENT, Progress, Terminal, _Running, each, handed
from gzfeatures.synthetic.survey import draw_survey


def told(text: str) -> str:
    """What was written, with the bar as one sign and spaces at the ends of lines left out."""
    lines = [re.sub("━+", "=", line).rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line)


def work(progress: Progress) -> int:
    progress.say("a path [bold] :cat: /tmp/x[1].csv")
    with progress.counted("cutouts", 3) as advance:
        advance(beside="")
        advance(2, beside="1 failed")
    with progress.busy("thinking"):
        return sum(each(iter([1, 2]), progress, "drawing", 2))


@pytest.mark.parametrize("parts", [[300], [1, 1, 298], [299, 1]])
def test_the_rate_of_a_short_task_is_its_mean(
    parts: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # the first call ends three seconds of preparation
    seconds = iter([0.0, 3.0, *np.linspace(5, 5.001, len(parts))])
    clock = SimpleNamespace(monotonic=lambda: next(seconds))
    monkeypatch.setattr("gzfeatures.brief.time", clock)
    with Terminal().counted("resnet18", 400, unit="images", done=100) as advance:
        for part in [0, *parts]:
            advance(part)
    assert " 150 images/s " in told(capsys.readouterr().err)


def test_the_terminal_gets_lines_as_they_are_and_the_last_state_of_each_bar(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert work(Terminal()) == 3
    out, err = capsys.readouterr()
    assert out == ""
    # a bar ends with the memory that the process holds
    assert re.fullmatch(
        r"a path \[bold\] :cat: /tmp/x\[1\].csv\n"
        r"cutouts = 3/3 1 failed 0:00:00 \d+\.\d GB\ndrawing = 100% 0:00:00 \d+\.\d GB",
        told(err),
    )


def test_a_rate_is_told_and_a_transient_bar_leaves_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Terminal().counted("resnet18", 4, unit="images", done=2) as advance:
        advance(2)
    assert re.fullmatch(
        r"resnet18 = 4/4 \d+ images/s 0:00:00 \d+\.\d GB", told(capsys.readouterr().err)
    )
    with Terminal().counted("decoding", 1, share=True, transient=True) as advance:
        advance(title="still decoding")
    assert told(capsys.readouterr().err) == ""


def test_a_transient_bar_and_a_running_task_write_nothing_at_all_to_a_log_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Terminal().counted("linking", 2, unit="galaxies", transient=True) as advance:
        advance(2)
    with Terminal().busy("fitting svm [bold]"):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_running_task_shows_its_time_and_memory() -> None:
    from rich.console import Console

    console = Console(width=80, file=io.StringIO())
    console.print(_Running("fitting svm [bold]"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.fullmatch(r"fitting svm \[bold\] 0:00:00 \d+\.\d GB\n", shown)


def test_every_galaxy_that_is_searched_in_a_graph_is_counted_once() -> None:
    counts: Counter[str] = Counter()

    class Counting:
        shows = True

        def counted(self, title: str, total: int, **_: Any) -> Any:
            def up(number: int = 1, **_: Any) -> None:
                counts[title] += number

            counts[f"{title} in all"] = total
            return nullcontext(up)

        def busy(self, title: str) -> Any:
            counts[title] += 9000
            return nullcontext()

    points = np.random.default_rng(0).normal(size=(9000, 4)).astype(np.float32)
    nearest(points, None, 3, exact_up_to=0, progress=Counting())  # type: ignore[arg-type]
    assert counts == dict.fromkeys(
        ("linking 9,000 galaxies", "searching", "searching in all"), 9000
    )


def test_without_a_progress_nothing_is_told(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert work(SILENT) == 3
    draw_survey(tmp_path, n=1, size=32)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("progress", [SILENT, Terminal()])
def test_a_progress_can_be_sent_to_another_process_and_is_equal_there(progress: Progress) -> None:
    assert pickle.loads(pickle.dumps(progress)) == progress
    assert handed(progress) is progress


def test_true_is_the_terminal_and_false_is_nobody() -> None:
    assert (handed(True), handed(False)) == (Terminal(), SILENT)
    assert handed(True).shows and not handed(False).shows
