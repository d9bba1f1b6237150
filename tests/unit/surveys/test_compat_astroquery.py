"""astroquery's private session: redirects are refused, or SkyView is not asked."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from gzfeatures.errors import InputError
from gzfeatures.surveys._compat_astroquery import refuse_redirects

skyview = pytest.importorskip("astroquery.skyview")


def test_canary_a_query_has_a_session_that_follows_redirects_until_told_otherwise() -> None:
    query = skyview.SkyViewClass()
    assert query._session.max_redirects > 0, f"astroquery {version('astroquery')}"
    refuse_redirects(query)
    assert query._session.max_redirects == 0


def test_without_a_session_skyview_is_not_asked() -> None:
    query = skyview.SkyViewClass()
    del query._session
    words = r"astroquery [\d.]+: SkyView cannot be asked safely; .*; pip install"
    with pytest.raises(InputError, match=words) as caught:
        refuse_redirects(query)
    assert "\n" not in str(caught.value)
