"""Serve a map of galaxies to a browser, save the labels that a person gives, and fit heads."""

from __future__ import annotations

import base64
import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError, require_known
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.asked import QUEUE, RANDOM, REASONS, USER
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import Ids, among, as_ids, positions
from gzfeatures.images.decoding.warning_filter import without_warnings
from gzfeatures.images.image_set import ImageSet
from gzfeatures.maps.teaching_data import MOST, TeachingServer
from gzfeatures.maps.umap import Map
from gzfeatures.progress import SILENT, Progress
from gzfeatures.tablefiles.described_output import write_fits, write_votable
from gzfeatures.teaching.answers_file import AnswersFile
from gzfeatures.teaching.campaign import Answer, Campaign
from gzfeatures.teaching.page_vectors import answers_of_page, page_vectors
from gzfeatures.teaching.rounds import RoundRecord
from gzfeatures.web.local_server import LocalServer
from gzfeatures.web.samp_hub import send_votable

HEADS = ("svm", "xgboost", "logistic")
"""Heads that a person can have fitted while teaching."""
LONGEST = 200
"""Most characters of a class, a name or a time that a page may send."""


@dataclasses.dataclass(frozen=True, eq=False)
class TeachingSession:
    """Let a person label galaxies on a map in a browser; save the labels, and fit heads to them.

    Parameters
    ----------
    table : EmbeddingTable
        Embeddings to which heads are fitted.
    chart : Map
        Map with the position of each galaxy on the page.
    file : AnswersFile
        Label file with the person's answers.
    seed : int
        Seed of the fits of heads.
    answers : Predictions, optional
        Predicted answers of Galaxy Zoo's decision tree, by which regions of the map are named.
    catalog : DataFrame, optional
        Columns by which the map can be coloured; with `ra` and `dec` the page shows sky positions.
    on_round : callable, optional
        Function that is called with a record of each finished round of labelling.

    Examples
    --------
    >>> session = TeachingSession(table, project(table), AnswersFile("mine.csv"))  # doctest: +SKIP
    >>> session.serve(print)  # doctest: +SKIP
    """

    table: EmbeddingTable
    chart: Map
    file: AnswersFile
    seed: int = 0
    answers: Predictions | None = None
    catalog: pd.DataFrame | None = None
    on_round: Callable[[RoundRecord], object] | None = None
    _rounds: set[int] = dataclasses.field(default_factory=set)
    _folders: list[tempfile.TemporaryDirectory[str]] = dataclasses.field(default_factory=list)

    def keep(self, content: Any) -> dict[str, int]:
        """Write a person's labels to the label file; return the number of answers in the file.

        Parameters
        ----------
        content : JSON value
            `answers`: list of `id, label, asked, round, who, when`; label None removes the answer.

        Returns
        -------
        dict
            `labels`: number of answers in the file.

        Raises
        ------
        InputError
            The content has a different form, or a galaxy is not in the table.
        OutputError
            The file cannot be written.
        """
        answers = content.get("answers") if isinstance(content, Mapping) else None
        if not isinstance(answers, list) or not all(isinstance(each, Mapping) for each in answers):
            raise InputError("answers of a page", rule="be a list of answers")
        names = [each.get("id") for each in answers]
        if not all(isinstance(name, str) for name in names):
            raise InputError("answers of a page", rule="name their galaxies")
        unknown = ~among(as_ids(names), self.table.ids) if names else np.zeros(0, dtype=bool)
        if unknown.any():
            raise InputError(
                "answer to a galaxy", rule="be in the table", found=names[int(unknown.argmax())]
            )
        changes = {name: _answer(each) for name, each in zip(names, answers, strict=True)}
        self.file.keep(changes)
        self._mark_rounds({each.round for each in changes.values() if each is not None})
        return {"labels": len(self.file.answers)}

    def _mark_rounds(self, now: set[int]) -> None:
        """Remember rounds with new answers; report all but the latest round to `on_round`."""
        self._rounds.update(now)
        if self.on_round is not None and now:
            self._end_rounds(before=max(self._rounds))

    def _end_rounds(self, before: int) -> None:
        """Report to `on_round` each round that has new answers and a number below `before`."""
        for number in sorted(each for each in self._rounds if each < before):
            self._rounds.discard(number)
            if self.on_round is not None:
                campaign = Campaign(self.chart.ids, self._page_vectors, self.seed)
                self.on_round(RoundRecord.of(campaign, self.file.answers, number))

    @cached_property
    def _page_vectors(self) -> npt.NDArray[np.float16]:
        answers = answers_of_page(self.chart.ids, self.answers)
        return page_vectors(self.chart.vectors, answers)

    def state(self, content: Any = None) -> dict[str, Any]:
        """Return all labels of the table's galaxies as JSON values, which `keep` can read."""
        known = set(self.table.ids)
        return {
            "answers": [
                {"id": name, **dataclasses.asdict(answer)}
                for name, answer in self.file.answers.items()
                if name in known
            ]
        }

    def fit(self, content: Any) -> dict[str, Any]:
        """Fit a head to all labels not kept for tests; return predictions for the map.

        Parameters
        ----------
        content : JSON value
            `head`: name of a head in `HEADS`.

        Returns
        -------
        dict
            `head`, `classes`, `probabilities` (a row per galaxy of the map), `seconds`.

        Raises
        ------
        InputError, UnknownNameError
            No head has this name; or the labels have fewer than two classes, or a class with one
            galaxy.
        """
        name = content.get("head") if isinstance(content, Mapping) else None
        if not isinstance(name, str):
            raise InputError("head to fit", rule="be named", found=name)
        require_known("head", [name], HEADS)
        from gzfeatures.heads.fit import fit

        labels = self.labels(QUEUE, USER)
        if len(labels.classes) < 2:
            raise InputError(
                "labels to fit a head on", rule="have two classes", found=len(labels.classes)
            )
        start = time.perf_counter()
        nobody = labels.ids[:0]
        split = Split(labels.ids, nobody, nobody)
        # hide a warning: scikit-learn-intelex says at every fit in a thread that it uses all cores,
        # and each request of the page runs in a thread
        with without_warnings():
            head = fit(self.table, labels, name, split=split, seed=self.seed)
            said = head.predict(self.table.select(self.chart.ids))
        return {
            "head": name,
            "classes": list(said.classes),
            "probabilities": np.round(said.probabilities, 4).tolist(),
            "seconds": time.perf_counter() - start,
        }

    def selection(self, content: Any) -> dict[str, Any]:
        """Write selected galaxies as FITS, or send them to other programs (SAMP protocol).

        Parameters
        ----------
        content : JSON value
            `ids`: galaxies of the table; `how`: `fits` or `samp`.

        Returns
        -------
        dict
            `told`: sentence on what was done; with `fits` also the file as base64.

        Raises
        ------
        InputError
            The content has a different form; an id is not in the table; FITS cannot store an id; or
            no SAMP hub runs.
        """
        ids, how = (
            content.get(key) if isinstance(content, Mapping) else None for key in ("ids", "how")
        )
        if how not in ("fits", "samp"):
            raise InputError("selection of a page", rule="go out as fits or samp", found=how)
        if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
            raise InputError("selection of a page", rule="be a list of ids")
        frame = self._described(as_ids(ids))
        if how == "fits":
            path = write_fits(frame, self.scratch / "selection.fits")
            text = base64.b64encode(path.read_bytes()).decode()
            return {"told": f"{len(ids):,} galaxies written as FITS", "fits": text}
        path = write_votable(frame, self.scratch / f"selection-{time.time_ns()}.vot")
        names = send_votable(path, f"{len(ids)} galaxies of gzfeatures")
        return {"told": f"{len(ids):,} galaxies sent to {', '.join(names)}"}

    def _described(self, ids: Ids) -> pd.DataFrame:
        """Return a data frame of the given galaxies: ids, positions, map coordinates, labels."""
        rows = positions(self.chart.ids, ids, where="map")
        columns: dict[str, Any] = {"galaxy_id": ids}
        if self.catalog is not None:
            known = self.catalog.set_index(as_ids(self.catalog["galaxy_id"])).reindex(ids)
            for name in ("ra", "dec"):
                if name in known:
                    columns[name] = known[name].to_numpy(np.float64)
        columns |= {"x": self.chart.coordinates[rows, 0], "y": self.chart.coordinates[rows, 1]}
        answers = self.file.answers
        columns["label"] = [answers[one].label if one in answers else "" for one in ids]
        frame = pd.DataFrame(columns)
        frame.attrs["units"] = {name: "deg" for name in ("ra", "dec") if name in columns}
        frame.attrs["ucds"] = {
            "galaxy_id": "meta.id;meta.main",
            **{name: f"pos.eq.{name};meta.main" for name in ("ra", "dec") if name in columns},
        }
        return frame

    @cached_property
    def scratch(self) -> Path:
        """Create a temporary folder for files that other programs read while the page is served."""
        self._folders.append(tempfile.TemporaryDirectory(prefix="gzfeatures-teach-"))
        return Path(self._folders[-1].name)

    def labels(self, *asked: str) -> Labels:
        """Return the labels that people gave to galaxies of the embedding table.

        With `asked`, return only labels given for these reasons: "random", "queue" or "user".
        """
        wanted = asked or (RANDOM, QUEUE, USER)
        known = set(self.table.ids)
        answers = {
            name: answer.label
            for name, answer in self.file.answers.items()
            if answer.label and answer.asked in wanted and name in known
        }
        classes = tuple(sorted(set(answers.values())))
        codes = np.asarray([classes.index(label) for label in answers.values()], dtype=np.int64)
        return Labels(np.asarray(list(answers), dtype=object), classes, codes, scheme="taught")

    def page(
        self,
        server: TeachingServer,
        images: ImageSet | None,
        labels: Labels | None = None,
        progress: Progress = SILENT,
    ) -> bytes:
        """Return the HTML of the page with the map; the page sends labels to this session."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "map.html"
            self.chart.write_html(
                path,
                labels,
                images,
                catalog=self.catalog,
                title="Teach",
                server=server,
                answers=self.answers,
                sky=self.catalog is not None and {"ra", "dec"} <= set(self.catalog.columns),
                progress=progress,
            )
            return path.read_bytes()

    def serve(
        self,
        say: Callable[[str], object],
        images: ImageSet | None = None,
        *,
        port: int = 0,
        progress: Progress = SILENT,
    ) -> None:
        """Serve the page on 127.0.0.1 until the program is interrupted.

        Parameters
        ----------
        say : callable
            Function that shows the page's address to the user.
        images : ImageSet, optional
            Images for thumbnails.
        port : int
            Port of the server; 0 chooses a free port.
        progress : Progress
            Shows the progress of making thumbnails.

        Raises
        ------
        InputError
            The port is in use, or there are too many galaxies for a page.
        """
        try:
            with self.server(images, port=port, progress=progress) as server:
                say(f"labels are kept in {self.file.path}; stop with Ctrl-C")
                say(f"open {server.address}")
                server.serve_forever(poll_interval=0.2)
        finally:
            self.close()

    def close(self) -> None:
        """Report the last round of labelling to `on_round`; remove files for other programs."""
        self._end_rounds(before=2**31)
        while self._folders:
            self._folders.pop().cleanup()

    def server(
        self, images: ImageSet | None = None, *, port: int = 0, progress: Progress = SILENT
    ) -> LocalServer:
        """Return a web server for the page; it has a port, but does not answer requests yet."""
        self.require_few()
        try:
            server = LocalServer(port)
        except OSError as error:
            raise InputError(
                "port cannot be listened on",
                where=f"127.0.0.1:{port}",
                found=error.strerror,
                remedy="choose another with --port, or none",
            ) from error
        about = TeachingServer(server.token, HEADS)
        server.page = self.page(about, images, progress=progress)
        server.actions = self.actions
        return server

    @property
    def actions(self) -> dict[str, Callable[[Any], Any]]:
        """Return the session's methods that the page can call, by the names in its requests."""
        return {
            "answers": self.keep,
            "state": self.state,
            "fit": self.fit,
            "selection": self.selection,
        }

    def require_few(self) -> None:
        """Refuse a table with more galaxies than a page for labelling can hold."""
        if len(self.chart) > MOST:
            raise InputError(
                "table to be taught on",
                rule=f"have at most {MOST:,} galaxies",
                found=len(self.chart),
                remedy="teach on a sample: its heads predict the whole table",
            )


def _answer(content: Mapping[str, Any]) -> Answer | None:
    """Return a person's answer about one galaxy from the page's JSON; None removes the label."""
    if content.get("label") is None:
        return None
    label, asked, who, when = (content.get(key, "") for key in ("label", "asked", "who", "when"))
    texts = (label, asked, who, when)
    number = content.get("round", 0)
    if not all(isinstance(text, str) and len(text) <= LONGEST for text in texts):
        raise InputError("answer of a page", rule=f"hold texts of at most {LONGEST} characters")
    if asked not in REASONS:
        raise InputError("answer of a page", rule=f"be asked {', '.join(REASONS)}", found=asked)
    if "|" in label or any(not each.isprintable() for each in "".join(texts)):
        raise InputError("class", rule="hold neither | nor control characters", found=label)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**31:
        raise InputError("round of an answer", rule="be a whole number", found=number)
    return Answer(label.strip(), asked, number, who, when)
