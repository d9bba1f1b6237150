"""Every mutant still finds the text that it breaks: else the script that tries them ends, long
after a rename."""

from __future__ import annotations

from pathlib import Path

import pytest
from claims.mutants import MUTANTS, Mutant

import gzfeatures

PACKAGE = Path(gzfeatures.__file__).parent


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.promise)
def test_the_text_that_a_mutant_replaces_is_there_exactly_once(mutant: Mutant) -> None:
    text = (PACKAGE / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
