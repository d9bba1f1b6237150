from __future__ import annotations

import io

import numpy as np
import pytest

from gzfeatures.errors import InputError
from gzfeatures.figures.balance import balance_figure
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import as_ids


def some(n: int = 6) -> Labels:
    return Labels(as_ids(range(n)), ("a", "b", "c"), np.arange(n) % 2)


def test_counts_names_and_codes() -> None:
    labels = some()
    assert len(labels) == 6 and labels.counts == {"a": 3, "b": 3, "c": 0}
    assert labels.names.tolist() == ["a", "b"] * 3
    several = Labels(
        as_ids("xy"), ("a", "b"), np.array([[True, True], [False, True]]), "multi-label"
    )
    assert several.counts == {"a": 1, "b": 2}
    fractions = Labels(as_ids("xy"), ("a", "b"), np.array([[0.1, np.nan], [0.2, 0.3]]), "fractions")
    assert fractions.counts == {"a": 2, "b": 1}
    with pytest.raises(
        InputError, match="one class per galaxy is needed; must be a class scheme, found fractions"
    ):
        _ = fractions.codes


def test_fingerprint_knows_what_is_said_not_how_it_is_stored() -> None:
    labels = some()
    assert labels.select(labels.ids[::-1]).fingerprint == labels.fingerprint
    renumbered = Labels(labels.ids, ("b", "a"), 1 - labels.values)
    assert renumbered.fingerprint == labels.fingerprint
    assert Labels(labels.ids, ("b", "a"), labels.values).fingerprint != labels.fingerprint
    flags = np.array([[True, False], [True, True]])
    several = Labels(as_ids("xy"), ("a", "b"), flags, "multi-label")
    assert (
        Labels(as_ids("xy"), ("b", "a"), flags[:, ::-1], "multi-label").fingerprint
        == several.fingerprint
    )
    assert Labels(as_ids("xy"), ("b", "a"), flags, "multi-label").fingerprint != several.fingerprint


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"labels do not fit their ids; must have shape \(2,\), found \(3,\)"
    ):
        Labels(as_ids("xy"), ("a",), np.zeros(3, dtype=np.int64))
    with pytest.raises(InputError, match="label code has no class; must lie in 0…0, found 1"):
        Labels(as_ids("xy"), ("a",), np.array([0, 1]))
    with pytest.raises(InputError, match="labels: 1 duplicate ids"):
        Labels(as_ids("xx"), ("a",), np.array([0, 0]))
    with pytest.raises(
        InputError, match=r"vote fractions do not fit their ids; must have shape \(2, 1\)"
    ):
        Labels(as_ids("xy"), ("a",), np.array([0, 0]), soft=np.zeros((2, 2)))
    with pytest.raises(InputError, match="1 of 1 ids are not there, found z"):
        some().select(as_ids("z"))


def test_the_fraction_of_a_further_answer_is_unknown_and_a_further_class_is_false() -> None:
    fractions = Labels(as_ids("x"), ("bar",), np.array([[0.5]]), "fractions")
    np.testing.assert_array_equal(fractions.ordered(("ring", "bar")).values, [[np.nan, 0.5]])
    several = Labels(as_ids("x"), ("bar",), np.array([[True]]), "multi-label")
    assert several.ordered(("ring", "bar")).values.tolist() == [[False, True]]


def test_labels_of_one_scheme_are_joined_and_of_two_are_not() -> None:
    first = Labels(
        as_ids("ab"), ("x", "y"), np.array([0, 1]), left_out={"tie": as_ids("q")}, soft=np.eye(2)
    )
    second = Labels(
        as_ids("cd"),
        ("x", "y"),
        np.array([1, 1]),
        left_out={"tie": as_ids("r"), "odd": as_ids("s")},
        soft=np.eye(2),
    )
    both = first.joined(second)
    assert (
        both.ids.tolist() == list("abcd")
        and both.counts == {"x": 1, "y": 3}
        and both.soft is not None
    )
    assert {reason: ids.tolist() for reason, ids in both.left_out.items()} == {
        "tie": ["q", "r"],
        "odd": ["s"],
    }
    with pytest.raises(InputError, match="labels: 2 duplicate ids"):
        first.joined(first)
    with pytest.raises(
        InputError,
        match="labels of different schemes cannot be joined; must be classes x, y, found classes "
        "a, b, c",
    ):
        first.joined(some())
    voted = Labels(as_ids("p"), ("x", "y"), np.array([0]), soft=np.array([[0.7, 0.3]]))
    unvoted = Labels(as_ids("m"), ("x", "y"), np.array([1]))
    np.testing.assert_array_equal(unvoted.joined(voted).soft, [[np.nan, np.nan], [0.7, 0.3]])
    assert unvoted.joined(Labels(as_ids("n"), ("x", "y"), np.array([1]))).soft is None


def test_the_balance_is_drawn_with_its_numbers_and_left_outs() -> None:
    labels = Labels(
        as_ids(range(30)),
        ("a", "b"),
        np.arange(30) % 3 // 2,
        scheme="mine",
        left_out={"tie": as_ids(["x", "y"])},
    )
    split = Split(labels.ids[:20], labels.ids[20:25], labels.ids[25:])
    figure = balance_figure(labels, split)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["20", "10"]
    assert sum(bar.get_width() for bar in axes.patches) == 30 and len(axes.patches) == 6
    assert "tie: 2" in figure.get_supxlabel() and axes.get_title(loc="left") == "mine"
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")
    assert len(balance_figure(some()).axes[0].patches) == 3


def test_classes_are_put_in_another_order() -> None:
    labels = Labels(as_ids(["a", "b", "c"]), ("disk", "round"), np.array([1, 0, 1]))
    ordered = labels.ordered(("round", "cigar", "disk"))
    assert ordered.names.tolist() == labels.names.tolist() and ordered.counts == {
        "round": 2,
        "cigar": 0,
        "disk": 1,
    }
    assert ordered.fingerprint == labels.fingerprint
    with pytest.raises(InputError, match="class is not known; must be one of round, found disk"):
        labels.ordered(("round",))
