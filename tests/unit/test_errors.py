from __future__ import annotations

import pytest

from gzfeatures.cli import _described
from gzfeatures.errors import (
    GzError,
    InputError,
    MissingExtraError,
    MissingFileError,
    need,
    parsing,
    require_format,
    unknown,
)


def test_message_is_one_line_with_every_part() -> None:
    error = InputError(
        "vote fraction", where="row 3", rule="lie in [0, 1]", found=1.5, remedy="divide by 100"
    )
    assert str(error) == "row 3: vote fraction; must lie in [0, 1], found 1.5; divide by 100"
    assert isinstance(error, GzError) and isinstance(error, ValueError)


def test_control_characters_of_untrusted_text_are_escaped() -> None:
    message = str(InputError("id", found="a\nb\x1b[31m\u202e"))
    assert message.splitlines() == [message]
    assert "\x1b" not in message and "\u202e" not in message


def test_unknown_name_lists_the_legal_ones_and_the_nearest() -> None:
    message = str(unknown("head", "svn", ["svm", "logistic"]))
    assert message == "unknown head; must be one of svm, logistic, found svn; did you mean 'svm'?"


def test_a_format_of_a_later_version_is_refused() -> None:
    require_format("map", 2, 2, "m.parquet")
    with pytest.raises(
        InputError,
        match=r"m\.parquet: map format is newer; must be at most 2, found 3; update gzfe",
    ):
        require_format("map", 3, 2, "m.parquet")


def test_missing_extra_names_the_install_line() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'gzfeatures\[cluster\]'"):
        need("no_such_module_here", extra="cluster")


def test_whatever_a_parser_raises_is_one_line_of_ours() -> None:
    for error in (
        KeyError("name"),
        RecursionError(),
        ValueError("first line\nsecond line"),
        OSError(22, "Invalid"),
    ):
        message = rf"c\.fits: table is damaged, found {type(error).__name__}"
        with (
            pytest.raises(InputError, match=message) as caught,
            parsing("table is damaged", "c.fits", remedy="fetch"),
        ):
            raise error
        assert str(caught.value).endswith("; fetch") and "second" not in str(caught.value)


@pytest.mark.parametrize("error", [MissingFileError("gone"), MemoryError(), KeyboardInterrupt()])
def test_errors_of_ours_lack_of_memory_and_interruptions_pass_a_reader(
    error: BaseException,
) -> None:
    with pytest.raises(type(error)), parsing("table is damaged", "c.fits"):
        raise error


def test_a_lack_of_memory_is_said_whoever_notices_it() -> None:
    said = (
        "can't start new thread",
        "alloc_cpu: not enough memory",
        "could not create a primitive",
    )
    for error in (MemoryError(), *map(RuntimeError, said)):
        assert _described(error).startswith("memory does not suffice; close other programs")
    assert _described(RuntimeError("odd\nthing")) == (
        "unexpected RuntimeError: odd thing; run again with --debug and report it"
    )
