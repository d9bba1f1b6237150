"""A page that is served: who may ask it, and that no click counts before it is on the disk."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import io
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from browser import Browser
from tables_of import table_of

from gzfeatures import files
from gzfeatures.errors import InputError, OutputError
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.galaxies.splits.label_file import read_labels
from gzfeatures.ids import as_ids
from gzfeatures.maps.map import Map
from gzfeatures.session.teaching_session import TeachingSession
from gzfeatures.teaching.answers_file import AnswersFile
from gzfeatures.web.local_server import LARGEST, TOKEN, LocalServer

N = 90
CODES = np.arange(N) % 2


@pytest.fixture
def session(tmp_path: Path) -> TeachingSession:
    """90 galaxies of two kinds, on a map that needs no UMAP."""
    table = table_of(np.random.default_rng(0).normal(size=(N, 6)) + 4 * np.eye(6)[CODES])
    space = FeatureSpace.fit(table.matrix)
    chart = Map(table.ids, table.matrix[:, :2], {"n_neighbors": 5}, {}, space, table.matrix)
    return TeachingSession(table, chart, AnswersFile(tmp_path / "mine.csv"))


@contextlib.contextmanager
def served(session: TeachingSession) -> Iterator[LocalServer]:
    with session.server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def asked(
    server: LocalServer, method: str, path: str, body: bytes | None = None, **headers: str | None
) -> tuple[int, str]:
    """Status and text of an answer; headers are those of the page but for what is given."""
    own: dict[str, str | None] = {
        "Host": server.hosts[0],
        "Origin": f"http://{server.hosts[0]}",
        "Content-Type": "application/json",
        TOKEN: server.token,
        **({} if body is None else {"Content-Length": str(len(body))}),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    for name, value in own.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    if body is not None:
        connection.send(body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def click(name: str, label: str | None = "odd", **more: Any) -> dict[str, Any]:
    one = {"id": name, "label": label, "asked": "queue", "round": 0, "who": "me", "when": "now"}
    return {"answers": [one | more]}


def test_the_server_answers_its_own_page_only(session: TeachingSession) -> None:
    with served(session) as server:
        status, page = asked(server, "GET", f"/?token={server.token}")
        assert status == 200 and "connect-src 'self'" in page and "default-src 'none'" in page
        assert asked(server, "GET", "/")[0] == asked(server, "GET", "/?token=x")[0] == 403
        assert asked(server, "GET", f"/mine.csv?token={server.token}")[0] == 404
        assert asked(server, "GET", f"/?token={server.token}", Host="evil.example")[0] == 421
        body = json.dumps(click("g0001")).encode()
        refused: list[tuple[int, dict[str, str | None]]] = [
            (421, {"Host": "evil.example"}),
            (421, {"Host": None}),
            (403, {"Origin": "https://evil.example"}),
            (403, {"Origin": None}),
            (403, {TOKEN: "x"}),
            (403, {TOKEN: None}),
            (415, {"Content-Type": "text/plain"}),
            (411, {"Content-Length": None}),
            (411, {"Content-Length": "-1"}),
            (413, {"Content-Length": str(LARGEST + 1)}),
        ]
        for status, headers in refused:
            said = asked(server, "POST", "/answers", body, **headers)
            assert said[0] == status, (headers, said)
        assert asked(server, "POST", "/passwd", body)[0] == 404
        assert asked(server, "POST", "/answers", b"[" * 100_000)[0] == 400
        assert not session.file.path.exists()
        assert asked(server, "POST", "/answers", body) == (200, '{"labels": 1}')
        assert json.loads(asked(server, "POST", "/state", b"{}")[1])["answers"][0]["id"] == "g0001"


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"answers": "x"},
        {"answers": [1]},
        {"answers": [{"label": "a"}]},
        click("nobody"),
        click("g0001", asked="guess"),
        click("g0001", label="a|b"),
        click("g0001", label="a\nb"),
        click("g0001", who="x" * 201),
        click("g0001", round=1.5),
        click("g0001", round=True),
        click("g0001", when=None),
    ],
)
def test_what_is_no_answer_changes_nothing(session: TeachingSession, content: Any) -> None:
    with pytest.raises(InputError):
        session.keep(content)
    assert not session.file.path.exists() and session.file.answers == {}


def test_a_click_counts_only_once_it_is_on_the_disk(
    session: TeachingSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.keep(click("g0001"))
    before = session.file.path.read_bytes()

    def full(path: Path, mode: int = 0) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "_new_beside", full)
        with pytest.raises(OutputError, match="No space left"):
            session.keep(click("g0002"))
    assert session.file.path.read_bytes() == before and list(session.file.answers) == ["g0001"]
    session.keep(click("g0002"))
    assert list(AnswersFile(session.file.path).answers) == ["g0001", "g0002"]
    session.keep(click("g0001", label=None))
    assert list(AnswersFile(session.file.path).answers) == ["g0002"]


def test_a_browser_that_goes_away_and_a_mistake_of_ours_are_no_traceback(
    session: TeachingSession, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(session) as server:
        server.actions = {"state": lambda content: 1 / 0}
        for _ in range(3):
            gone = socket.create_connection(("127.0.0.1", server.port))
            gone.sendall(b"POST /state HTTP/1.1\r\nHost: ")
            # closed with a reset, as by a browser that is killed
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.close()
        status, text = asked(server, "POST", "/state", b"{}")
        assert (status, text) == (500, "unexpected ZeroDivisionError: division by zero")
    assert capsys.readouterr().err == ""


def test_two_sessions_and_an_editor_lose_no_answer_of_each_other(session: TeachingSession) -> None:
    path = session.file.path
    other = dataclasses.replace(session, file=AnswersFile(path))
    session.keep(click("g0001"))
    other.keep(click("g0002", label="plain"))
    session.keep(click("g0003"))
    # a person adds a row and corrects one
    path.write_text(path.read_text().replace("plain", "smooth") + "g0009,ring,,,0,user\n")
    other.keep(click("g0001", label=None))
    assert {name: each.label for name, each in AnswersFile(path).answers.items()} == {
        "g0002": "smooth",
        "g0003": "odd",
        "g0009": "ring",
    }
    path.write_text("no,labels\n1,2\n")
    with pytest.raises(InputError, match="have columns galaxy_id and label"):
        other.keep(click("g0004"))
    assert path.read_text() == "no,labels\n1,2\n"


def test_what_else_a_label_file_holds_stays_in_it(session: TeachingSession) -> None:
    path = session.file.path
    frame = pd.DataFrame(
        {"galaxy_id": ["g0001", "=other"], "label": ["odd", "plain"], "note": ["x", "y"]}
    )
    frame.to_csv(path, index=False)
    session = dataclasses.replace(session, file=AnswersFile(path))
    session.keep(click("g0002", label="plain", asked="random"))
    rows = pd.read_csv(path, keep_default_na=False)
    assert list(rows["note"]) == ["x", "y", ""] and list(rows["label"]) == ["odd", "plain", "plain"]
    labels, _ = read_labels(path)
    assert list(labels.ids) == ["g0001", "=other", "g0002"]
    assert [each["id"] for each in session.state()["answers"]] == ["g0001", "g0002"]
    assert list(session.labels("queue", "user").ids) == ["g0001"]


def test_a_selection_has_positions_whatever_the_type_of_ids(session: TeachingSession) -> None:
    ids = as_ids(np.arange(N))
    table = dataclasses.replace(session.table, ids=ids)
    catalog = pd.DataFrame({"galaxy_id": np.arange(N), "ra": np.arange(N) * 1.5, "dec": 2.0})
    chart = dataclasses.replace(session.chart, ids=ids)
    taught = dataclasses.replace(session, table=table, chart=chart, catalog=catalog)
    said = taught.selection({"ids": ["4", "2"], "how": "fits"})
    taught.close()
    rows = Table.read(io.BytesIO(base64.b64decode(said["fits"])))
    assert rows["ra"].tolist() == [6.0, 3.0] and rows["dec"].tolist() == [2.0, 2.0]


def test_heads_are_fitted_without_what_is_set_aside(session: TeachingSession) -> None:
    with pytest.raises(InputError, match="two classes"):
        session.fit({"head": "logistic"})
    for row in range(40):
        # galaxies that are set aside have the wrong class: a head that learned it would be lost
        random = row % 4 < 2
        label = "ab"[CODES[row] ^ random]
        reason = "random" if random else "queue"
        session.keep(click(f"g{row:04d}", label=label, asked=reason))
    said = session.fit({"head": "logistic"})
    assert said["classes"] == ["a", "b"] and len(said["probabilities"]) == N
    assert (np.argmax(said["probabilities"], axis=1) == CODES).mean() > 0.95
    with pytest.raises(Exception, match="head"):
        session.fit({"head": "__import__"})


def test_labels_given_in_the_browser_are_in_the_file(
    session: TeachingSession, tmp_path: Path
) -> None:
    with served(session) as server:
        browser = Browser(tmp_path / "browser")
        try:
            browser.open(server.address)
            browser.until("return document.body.dataset.drawn")
            browser.run("teach.classes.push('a', 'b'); teach.ask()")
            for number in range(12):
                browser.run(f"document.activeElement.blur(); window.was = {number}")
                browser.keys("12"[number % 2])
                browser.until(f"return answers.all.size === {number + 1}")
            browser.run("byId('fit-head').click()")
            browser.until(
                "return columns.some((one) => one.name === 'svm') || "
                "byId('notice').textContent.includes('galax')"
            )
            assert browser.complaints() == []
            browser.open(server.address)
            browser.until("return document.body.dataset.drawn && answers.all.size === 12")
        finally:
            browser.close()
    labels, _ = read_labels(session.file.path)
    assert labels.counts == {"a": 6, "b": 6}
