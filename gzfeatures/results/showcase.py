"""Showcase: galaxies side by side under headings, as one PNG or one HTML file that needs no network."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gzfeatures.errors import GzError, InputError
from gzfeatures.files import written_whole
from gzfeatures.images.imageset import ImageSet
from gzfeatures.images.views import View
from gzfeatures.results.sprites import thumbnail

VIEW = View(size=128, crop=0.6)
BACK, INK, SOFT = "#0a0d14", "#e8edf6", "#9aa7bd"
HEADING, LINE, GAP = 30, 15, 6

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title><style>
body {{ margin: 24px; background: #0a0d14; color: #e8edf6; font: 14px/1.4 system-ui, sans-serif; }}
h1 {{ font-size: 18px; }} h2 {{ font-size: 15px; margin: 26px 0 8px; overflow-wrap: anywhere; }}
div {{ display: grid; grid-template-columns: repeat(auto-fill, {side}px); gap: 10px; }}
figure {{ margin: 0; }}
figcaption {{ font-size: 12px; color: #9aa7bd; overflow-wrap: anywhere; white-space: pre-line; }}
figcaption b {{ color: #e8edf6; font-weight: 600; }}
img, p {{ width: {side}px; height: {side}px; border-radius: 6px; display: block; background: #000; margin: 0; }}
p {{ display: grid; place-items: center; color: #9aa7bd; font-size: 12px; }}
</style></head><body><h1>{title}</h1>
{sections}
</body></html>
"""


def write_showcase(
    path: str | Path,
    sections: Mapping[str, Sequence[tuple[str, str]]],
    images: ImageSet | str | Path,
    *,
    title: str = "Galaxies",
    columns: int = 10,
    view: View = VIEW,
) -> Path:
    """Show galaxies with a line of text each.

    Parameters
    ----------
    path : str or Path
        `.html` or `.png`. A galaxy without a readable image is a blank tile.
    sections : mapping of str to sequence of (id, caption)
        Heading → galaxies under it.
    images : ImageSet, str or Path
        Where the images are.
    title : str
        Of the page.
    columns : int
        Tiles per row of a PNG.
    view : View
        Crop and side of a tile.

    Raises
    ------
    InputError
        Another ending, or nothing to show.
    """
    path = Path(path)
    if path.suffix not in (".html", ".png"):
        raise InputError("showcase", where=path, rule="end in .html or .png", found=path.suffix or "no ending")
    shown = [tile for tiles in sections.values() for tile in tiles]
    if not shown:
        raise InputError("showcase", where=path, rule="have a galaxy to show")
    images = images if isinstance(images, ImageSet) else ImageSet.of(images)
    pictures = _pictures(images, shown, view)
    with written_whole(path) as temporary:
        if path.suffix == ".png":
            _sheet(sections, pictures, columns, view.size).save(temporary, "PNG")
        else:
            parts = [_section(heading, tiles, pictures) for heading, tiles in sections.items()]
            page = PAGE.format(title=html.escape(title), side=view.size, sections="\n".join(parts))
            temporary.write_text(page, encoding="utf-8")
    return path


def _pictures(images: ImageSet, shown: Sequence[tuple[str, str]], view: View) -> dict[str, Image.Image]:
    """Picture of each galaxy that has a readable one."""
    row_of = {name: row for row, name in enumerate(images.ids)}
    found = {}
    for name in {name for name, _ in shown if name in row_of}:
        try:
            found[name] = thumbnail(images, row_of[name], view)
        except GzError:  # shown as a blank tile
            continue
    return found


def _sheet(
    sections: Mapping[str, Sequence[tuple[str, str]]], pictures: Mapping[str, Image.Image], columns: int, side: int
) -> Image.Image:
    import matplotlib  # brings a font that knows most letters and signs

    rows = {heading: math.ceil(len(tiles) / columns) for heading, tiles in sections.items()}
    height = sum(HEADING + count * (side + 2 * LINE) for count in rows.values())
    sheet = Image.new("RGB", (columns * (side + GAP) + GAP, height + GAP), BACK)
    pen = ImageDraw.Draw(sheet)
    pen.font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 11)
    top = 0
    for heading, tiles in sections.items():
        pen.text((GAP, top + 8), _one_line(heading, columns * side // 7), fill=INK)
        top += HEADING
        for number, (name, caption) in enumerate(tiles):
            left, down = GAP + number % columns * (side + GAP), top + number // columns * (side + 2 * LINE)
            sheet.paste(pictures.get(name, (0, 0, 0)), (left, down, left + side, down + side))
            pen.text((left, down + side), _one_line(name, side // 7), fill=INK)
            pen.text((left, down + side + LINE - 2), _one_line(caption, side // 7), fill=SOFT)
        top += rows[heading] * (side + 2 * LINE)
    return sheet


def _one_line(text: str, limit: int) -> str:
    """The text without line breaks and control signs, cut to `limit` signs."""
    plain = "".join(sign if sign.isprintable() else "�" for sign in text)
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def _address(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _section(heading: str, tiles: Sequence[tuple[str, str]], pictures: Mapping[str, Image.Image]) -> str:
    figures = []
    for name, caption in tiles:
        picture = f'<img alt="" src="{_address(pictures[name])}">' if name in pictures else "<p>no image</p>"
        text = f"<b>{html.escape(name)}</b>\n{html.escape(caption)}"
        figures.append(f"<figure>{picture}<figcaption>{text}</figcaption></figure>")
    return f"<h2>{html.escape(heading)}</h2>\n<div>{''.join(figures)}</div>"
