"""A selection over SAMP: read by a client of a hub on 127.0.0.1, ids as texts; or refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import pytest
from tables_of import table_of

from gzfeatures.errors import InputError
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.maps.map import Map
from gzfeatures.session.teaching_session import TeachingSession
from gzfeatures.tablefiles.tables import read_table
from gzfeatures.teaching.answers_file import AnswersFile
from gzfeatures.web.samp_hub import send_votable

samp = pytest.importorskip("pyvo.samp")
IDS = ["00012345678901234567", "1237648702966988820", *(f"g{row}" for row in range(38))]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A hub of this test alone, on 127.0.0.1."""
    lock = tmp_path / "samp"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{lock.as_uri()}")
    # the name of this machine is not asked for in any network
    monkeypatch.setattr(samp.conf, "use_internet", False)
    server = samp.SAMPHubServer(web_profile=False, lockfile=str(lock), addr="127.0.0.1")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[TeachingSession]:
    vectors = np.random.default_rng(0).normal(size=(40, 4))
    table = table_of(vectors, ids=IDS)
    catalog = pd.DataFrame({"galaxy_id": IDS, "ra": np.arange(40.0), "dec": -np.arange(40.0)})
    space = FeatureSpace.fit(table.matrix)
    chart = Map(table.ids, table.matrix[:, :2], {}, {}, space, space.vectors(table.matrix))
    taught = TeachingSession(table, chart, AnswersFile(tmp_path / "mine.csv"), catalog=catalog)
    yield taught
    taught.close()


def test_a_selection_reaches_the_programs_at_the_hub(hub: Any, session: TeachingSession) -> None:
    told, came = [], threading.Event()

    def loaded(key: Any, sender: Any, mtype: Any, params: Any, extra: Any) -> None:
        told.append(params)
        came.set()

    client = samp.SAMPIntegratedClient(name="Reader", addr="127.0.0.1")
    client.connect()
    try:
        client.bind_receive_notification("table.load.votable", loaded)
        said = session.selection({"how": "samp", "ids": IDS[:3]})
        assert said["told"] == "3 galaxies sent to Reader"
        assert came.wait(20)
    finally:
        client.disconnect()
    table = read_table(url2pathname(urlsplit(told[0]["url"]).path))
    assert table["galaxy_id"].tolist() == IDS[:3]
    assert table["ra"].tolist() == [0, 1, 2] and table["dec"].tolist() == [0, -1, -2]


def test_without_a_hub_or_a_reader_nothing_is_sent(
    hub: Any, session: TeachingSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="know a program that loads tables"):
        session.selection({"how": "samp", "ids": IDS[:3]})
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'nowhere').as_uri()}")
    with pytest.raises(InputError, match=r"no SAMP hub runs.*start TOPCAT"):
        send_votable(tmp_path / "any.vot", "any")


def test_a_selection_as_fits_keeps_ids_and_positions(session: TeachingSession) -> None:
    said = session.selection({"how": "fits", "ids": IDS[:2]})
    table = read_table(session.scratch / "selection.fits")
    assert said["told"] == "2 galaxies written as FITS" and len(said["fits"]) > 100
    assert table["galaxy_id"].tolist() == IDS[:2] and table["dec"].tolist() == [0, -1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"how": "fits", "ids": ["nobody"]}, "1 of 1 ids are not there"),
        ({"how": "fits", "ids": []}, "be a list of ids"),
        ({"how": "fits", "ids": [1]}, "be a list of ids"),
        ({"how": "mail", "ids": IDS[:1]}, "go out as fits or samp"),
        ([], "go out as fits or samp"),
    ],
)
def test_other_requests_are_refused(session: TeachingSession, content: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        session.selection(content)
