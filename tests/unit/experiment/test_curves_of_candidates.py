"""The validation curve of a network stays with its candidate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.reports import finished

from gzfeatures.errors import InputError
from gzfeatures.experiment.folder import PAIRINGS, read_candidates


def test_a_curve_goes_through_the_run_folder_and_older_folders_have_none(tmp_path: Path) -> None:
    finished(tmp_path)
    notes = json.loads((tmp_path / PAIRINGS).read_text())
    notes[0]["validation_curve"] = [0.25, 0.5]
    del notes[1]["validation_curve"]
    (tmp_path / PAIRINGS).write_text(json.dumps(notes))
    candidates, _, _ = read_candidates(tmp_path)
    assert [each.curve for each in candidates[:2]] == [(0.25, 0.5), ()]


def test_a_curve_of_words_is_refused(tmp_path: Path) -> None:
    finished(tmp_path)
    notes = json.loads((tmp_path / PAIRINGS).read_text())
    notes[0]["validation_curve"] = "rising"
    (tmp_path / PAIRINGS).write_text(json.dumps(notes))
    with pytest.raises(InputError, match="candidates of a run cannot be read"):
        read_candidates(tmp_path)
