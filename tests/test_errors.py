from __future__ import annotations

import pytest

from gzfeatures.errors import GzError, InputError, MissingExtraError, need, unknown


def test_message_is_one_line_with_every_part() -> None:
    error = InputError("vote fraction", where="row 3", rule="lie in [0, 1]", found=1.5, remedy="divide by 100")
    assert str(error) == "row 3: vote fraction; must lie in [0, 1], found 1.5; divide by 100"
    assert isinstance(error, GzError) and isinstance(error, ValueError)


def test_control_characters_of_untrusted_text_are_escaped() -> None:
    message = str(InputError("id", found="a\nb\x1b[31m\u202e"))
    assert message.splitlines() == [message]
    assert "\x1b" not in message and "\u202e" not in message


def test_unknown_name_lists_the_legal_ones_and_the_nearest() -> None:
    message = str(unknown("head", "svn", ["svm", "logistic"]))
    assert message == "unknown head; must be one of svm, logistic, found svn; did you mean 'svm'?"


def test_missing_extra_names_the_install_line() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'gzfeatures\[cluster\]'"):
        need("no_such_module_here", extra="cluster")
