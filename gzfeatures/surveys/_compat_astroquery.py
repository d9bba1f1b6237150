"""Change an undocumented attribute of astroquery that gzfeatures needs: a query's HTTP session.

No other module uses this attribute. If a new astroquery lacks it, `test_compat_astroquery.py`
fails.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from gzfeatures.errors import InputError


def refuse_redirects(query: Any) -> None:
    """Make an astroquery request fail on redirects, which could lead to a private web address.

    Parameters
    ----------
    query : astroquery.query.BaseQuery
        Query whose HTTP session is changed.

    Raises
    ------
    InputError
        The installed astroquery has no such session, and no documented way to refuse redirects.
    """
    session: Any = getattr(query, "_session", None)
    if not hasattr(session, "max_redirects"):
        raise InputError(
            "SkyView cannot be asked safely",
            where=f"astroquery {version('astroquery')}",
            rule="have a session that can refuse redirects",
            remedy="pip install 'astroquery==0.4.11', or use another survey",
        )
    session.max_redirects = 0
