"""Write the results of an audit as a web page and as JSON; text from users is escaped."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

from gzfeatures.audit.drawing import ladder
from gzfeatures.audit.findings import NUMBERS, PAGE, UNTOLD, Audit, figure_name
from gzfeatures.audit.probes.probe import LEAST, LEVEL, detectable
from gzfeatures.figures import style
from gzfeatures.figures.content_policy import with_policy
from gzfeatures.figures.page_template import page_template
from gzfeatures.files import written_whole
from gzfeatures.outputs import sealed


def write_audit(audit: Audit, folder: str | Path) -> Path:
    """Write the audit of an embedding table as `audit.html` and `audit.json` into a folder.

    The audit measures how well the embeddings predict nuisances such as redshift or seeing. Return
    the path of the page.

    Parameters
    ----------
    audit : Audit
    folder : str or Path
        Folder, made if missing.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    place = Path(folder)
    numbers = json.dumps(audit.asdict(), indent=1, ensure_ascii=False) + "\n"
    # call `sealed` last: it adds a checksum of the page's text, which must not change afterwards
    for name, text in ((NUMBERS, numbers), (PAGE, sealed(render(audit)))):
        with written_whole(place / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return place / PAGE


def render(audit: Audit) -> str:
    """Return the web page of an audit, which loads nothing from the network and runs no script.

    Parameters
    ----------
    audit : Audit
        Results that the page shows.
    """
    from markupsafe import Markup

    drawing = None
    if audit.probes:
        drawing = Markup(style.svg(ladder(audit.judged), "ladder"))
    slices = [
        (name, list(rows)) for name, rows in groupby(audit.slices, key=lambda row: row.nuisance)
    ]
    template = page_template("gzfeatures.audit", "templates", "audit.html")
    page = template.render(
        audit=audit,
        judged=audit.judged,
        figure_name=figure_name,
        drawing=drawing,
        slices=slices,
        told=sorted(audit.morphology["by_name"].items(), key=lambda item: -(item[1] or -1.0)),
        detectable=detectable,
        least=LEAST,
        level=LEVEL,
        untold=UNTOLD,
    )
    return with_policy(page)
