"""Show the page of a teaching session below a notebook cell, by a widget of Jupyter (anywidget).

The page and its requests travel over the widget's own channel to the kernel (comm), not over a port
of this machine, so that kernels on other machines work too.
"""

from __future__ import annotations

import gzip
import importlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from gzfeatures.errors import GzError, InputError, need
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.images.image_set import ImageSet
from gzfeatures.maps.teaching_data import TeachingServer
from gzfeatures.progress import SILENT, Progress
from gzfeatures.session.teaching_session import HEADS, TeachingSession

EXTRA = "jupyter"
PART = 400_000
"""Bytes of the page in one message: a Jupyter server passes about a megabyte per second on."""


class TeachingView:
    """Show a page for labelling galaxies below a notebook cell, and store the labels.

    A saved notebook contains ids and labels, but no images: the page is sent when the notebook
    shows it.

    Parameters
    ----------
    session : TeachingSession
        Session with table, map and label file.
    images : ImageSet, optional
        Images for thumbnails.
    progress : Progress
        Shows the progress of making thumbnails.

    Attributes
    ----------
    widget : anywidget.AnyWidget
        The widget below the cell; its trait `answers` maps ids to labels.

    Raises
    ------
    MissingExtraError
        anywidget is not installed.
    InputError
        There are too many galaxies for a page.

    Examples
    --------
    >>> view = gz.teach("table.parquet", "images/", "mine.csv")  # doctest: +SKIP
    >>> head = gz.fit("table.parquet", view.labels, "svm")  # doctest: +SKIP
    """

    def __init__(
        self,
        session: TeachingSession,
        images: ImageSet | None = None,
        progress: Progress = SILENT,
    ) -> None:
        widgets = need("anywidget", extra=EXTRA)
        session.require_few()
        self.session = session
        server = TeachingServer("", HEADS, framed=True)
        self._page = gzip.compress(session.page(server, images, progress=progress), 6, mtime=0)
        self.widget = _widget(widgets.AnyWidget, str(session.file.path), self._answers())
        self.widget.on_msg(self._hear)

    @property
    def labels(self) -> Labels:
        """Return the labels that people gave to galaxies of the embedding table."""
        return self.session.labels()

    def close(self) -> None:
        """Remove the page from the notebook, and close its teaching session."""
        self.widget.close()
        self.session.close()

    def __repr__(self) -> str:
        return repr(self.widget)

    def _ipython_display_(self) -> None:
        """Show the widget below a notebook cell whose last line is this object."""
        # import IPython only here, because it is no dependency, but every notebook has it
        module: Any = importlib.import_module("IPython.display")
        module.display(self.widget)

    def _answers(self) -> dict[str, str]:
        """Return the labels of the table's galaxies by id; leave out galaxies without a label."""
        state = self.session.state()["answers"]
        return {each["id"]: each["label"] for each in state if each["label"]}

    def _hear(self, widget: Any, content: Any, buffers: Any) -> None:
        """Answer a request from the web page, or from the notebook's script that loads the page."""
        request = content.get("request") if isinstance(content, Mapping) else None
        if not isinstance(request, str):
            return
        reply: dict[str, Any] = {"request": request}
        parts: list[bytes] = []
        try:
            if content.get("what") == "page":
                reply["answer"], parts = self._part(content.get("content"))
            else:
                reply["answer"] = self._done(content.get("what"), content.get("content"))
        except GzError as error:
            reply["error"] = str(error)
        except Exception as error:
            # show an unexpected error on the page, where the person waits for an answer
            reply["error"] = f"unexpected {type(error).__name__}: {error}"
        widget.send(reply, parts)

    def _done(self, what: Any, content: Any) -> Any:
        """Run the action that the page requests; return the answer, once labels are on disk."""
        action = self.session.actions.get(what) if isinstance(what, str) else None
        if action is None:
            raise InputError("request of a page", rule="be known", found=what)
        # refuse content that JSON cannot represent, as a web server would
        answer = action(json.loads(json.dumps(content)))
        if what == "answers":
            self.widget.answers = self._answers()
        return answer

    def _part(self, content: Any) -> tuple[dict[str, int], list[bytes]]:
        """Return one piece of the compressed map page, which a notebook gets in pieces."""
        count = -(-len(self._page) // PART)
        index = content.get("part") if isinstance(content, Mapping) else None
        if not isinstance(index, int) or not 0 <= index < count:
            raise InputError("part of a page", rule=f"lie in 0…{count - 1}", found=index)
        return {"parts": count}, [self._page[index * PART : (index + 1) * PART]]


def _widget(base: type[Any], file: str, answers: Mapping[str, str]) -> Any:
    """Return the widget that shows a page; its state, which notebooks store, holds no images."""
    traits = need("traitlets", extra=EXTRA)
    script = resources.files("gzfeatures.session").joinpath("widget.js").read_text("utf-8")
    members = {
        "_esm": script,
        "file": traits.Unicode().tag(sync=True),
        "answers": traits.Dict().tag(sync=True),
        # a notebook stores this text too, and shows it where the widget cannot run
        "__repr__": lambda widget: f"{len(widget.answers):,} labels in {widget.file}",
    }
    # make the class only here, because its base is a library that is imported late
    return type("TeachingWidget", (base,), members)(file=file, answers=dict(answers))
