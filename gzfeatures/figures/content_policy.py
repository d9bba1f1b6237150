"""Add a security policy to an HTML page, so that browsers run only the page's own scripts.

The policy is W3C's Content Security Policy Level 3 (https://www.w3.org/TR/CSP3/). It makes a
browser run a script, or apply a style, only if the policy lists the SHA-256 digest of its text. The
browser loads nothing from the network and sends nothing. The policy cannot list styles of single
elements (`style="…"`) by digest: they are replaced by classes of one style sheet.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator

from gzfeatures.errors import InputError

PLACE = "<!-- content policy -->"
"""Comment that a page has in its head; `with_policy` replaces it by the policy."""
ELEMENT = re.compile(r"(<(script|style)\b[^>]*>)(.*?)(</\2\s*>)", re.DOTALL | re.IGNORECASE)
TAG = re.compile(r"<[a-zA-Z][^<>]*>")
STYLE = re.compile(r'\sstyle="([^"]*)"')
CLASS = re.compile(r'\sclass="([^"]*)"')
KIND = re.compile(r'\btype="([^"]*)"')
HANDLER = re.compile(r"[\s/\"']on[a-z]+\s*=", re.IGNORECASE)
SCRIPTS = ("", "module", "text/javascript")
"""Types of `<script>` elements that browsers run; elements of other types contain only data."""


def with_policy(page: str, images: str = "data:", requests: str = "'none'") -> str:
    """Return an HTML page with a security policy that allows only the page's own scripts.

    Parameters
    ----------
    page : str
        Whole HTML page, with the comment `PLACE` in its head; texts from users must be escaped.
    images : str
        Sources from which the page may show images; by default only images inside the page.
    requests : str
        Addresses to which scripts of the page may send requests; by default none.

    Returns
    -------
    str
        The page with the policy; styles of single elements have become classes.

    Raises
    ------
    InputError
        The page lacks the comment `PLACE`, or a tag has a handler such as `onclick=`.

    Examples
    --------
    >>> page = with_policy('<head><!-- content policy --></head><i style="width:3px">x</i>')
    >>> page[page.index("<i"):]
    '<i class="own0">x</i>'
    """
    if PLACE not in page:
        raise InputError("HTML page", rule=f"have {PLACE} in its head")
    classes: dict[str, str] = {}
    parts = [part if element else _without_styles(part, classes) for element, part in _split(page)]
    sheet = "".join(
        # repeat the class name four times: CSS prefers rules with more class names, so this rule
        # overrides all other rules, as a style attribute of the element would do
        f".{name}.{name}.{name}.{name}{{{style}}}\n"
        for style, name in classes.items()
    )
    page = "".join(parts)
    own = f"<style>{sheet}</style>\n" if sheet else ""
    digests = {"script": [], "style": []} if not own else {"script": [], "style": [_digest(sheet)]}
    for _, part in (split for split in _split(page) if split[0]):
        opening, name, text, _ = ELEMENT.fullmatch(part).groups()  # type: ignore[union-attr]
        kind = KIND.search(opening)
        if name.lower() == "style" or (kind[1] if kind else "") in SCRIPTS:
            digests[name.lower()].append(_digest(text))
    policy = "; ".join(
        [
            "default-src 'none'",
            *(f"{name}-src {_listed(digests[name])}" for name in ("script", "style")),
            f"img-src {images}",
            f"connect-src {requests}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    # replace only the first comment PLACE, which is in the page's head: text from users may contain
    # the same comment
    return page.replace(PLACE, f"{meta}\n{own}".rstrip("\n"), 1)


def _split(page: str) -> Iterator[tuple[bool, str]]:
    """Yield, for each part of a page, whether it is a script or style element, and its text."""
    end = 0
    for match in ELEMENT.finditer(page):
        yield False, page[end : match.start()]
        yield True, match[0]
        end = match.end()
    yield False, page[end:]


def _without_styles(part: str, classes: dict[str, str]) -> str:
    """Replace each `style="…"` in HTML tags by a class, and return the HTML."""

    def tag(match: re.Match[str]) -> str:
        text = match[0]
        # remove quoted values before the search for handlers such as onclick=: a quoted value may
        # contain these letters as text
        if HANDLER.search(re.sub(r'"[^"]*"', '""', text)):
            raise InputError("HTML page", rule="have no handlers in its tags", found=text)
        style = STYLE.search(text)
        if style is None:
            return text
        declared = html.unescape(style[1]).strip()
        if re.search(r"[<>{}]", declared):
            raise InputError("HTML page", rule="have styles without braces", found=declared)
        name = classes.setdefault(declared, f"own{len(classes)}")
        text = text[: style.start()] + text[style.end() :]
        present = CLASS.search(text)
        if present is None:
            end = len(text.rstrip("/>").rstrip())
            return f'{text[:end]} class="{name}"{text[end:]}'
        return f"{text[: present.end() - 1]} {name}{text[present.end() - 1 :]}"

    return TAG.sub(tag, part)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _listed(digests: list[str]) -> str:
    return " ".join(dict.fromkeys(digests)) or "'none'"
