"""Show galaxy images under headings, as PNG, as an HTML page, or as part of a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gzfeatures.errors import GzError, InputError
from gzfeatures.figures.content_policy import with_policy
from gzfeatures.figures.page_template import page_template
from gzfeatures.figures.sprites import address, thumbnail
from gzfeatures.figures.style import short
from gzfeatures.files import written_whole
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.outputs import sealed

VIEW = View(size=128, crop=0.6)
BACK, INK, SOFT = "#0a0d14", "#e8edf6", "#9aa7bd"
HEADING, LINE, GAP = 30, 15, 6


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """Store a picture of a galaxy with its name and caption.

    Parameters
    ----------
    name : str
        Name of what is shown, such as a galaxy id or a class; untrusted text.
    caption : str
        Text under the picture; untrusted.
    picture : PIL.Image.Image, optional
        RGB picture of any width; with None, an empty place is shown.
    """

    name: str
    caption: str
    picture: Image.Image | None

    def width(self, side: int) -> int:
        """Return the width in pixels that the picture has if it is scaled to height `side`."""
        return (
            side if self.picture is None else round(side * self.picture.width / self.picture.height)
        )


def tiles(
    images: ImageSet | str | Path, captions: Iterable[tuple[str, str]], view: View = VIEW
) -> list[Picture]:
    """Return galaxies with caption and picture; without a readable image, the picture is None.

    Parameters
    ----------
    images : ImageSet, str or Path
        Images of the galaxies, or their folder or archive.
    captions : iterable of (id, caption)
        Id and caption of each galaxy, in order.
    view : View
        Crop and size of a picture.
    """
    images = images if isinstance(images, ImageSet) else ImageSet.of(images)
    row_of = {name: row for row, name in enumerate(images.ids)}
    pictures: dict[str, Image.Image | None] = {}
    result = []
    # keep decoded images in `pictures`: a galaxy may occur several times
    for name, caption in captions:
        if name not in pictures:
            try:
                pictures[name] = thumbnail(images, row_of[name], view) if name in row_of else None
            except GzError:
                # go on without a broken image: one should not prevent the whole gallery
                pictures[name] = None
        result.append(Picture(name, caption, pictures[name]))
    return result


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
    """Store pictures under headings, and write them as an HTML page or PNG.

    Parameters
    ----------
    title, note : str
        Title of the gallery, and a text that explains it.
    sections : mapping of str to sequence of Picture
        Heading → pictures under this heading.
    side : int
        Height of a picture in pixels.

    Raises
    ------
    InputError
        No section has a picture.
    """

    title: str
    note: str
    sections: Mapping[str, Sequence[Picture]]
    side: int = VIEW.size

    def __post_init__(self) -> None:
        if not any(self.sections.values()):
            raise InputError("showcase", where=self.title, rule="have a picture to show")

    def write(self, path: str | Path, *, columns: int = 10) -> Path:
        """Write the gallery as an HTML page or a PNG picture, by the file's ending.

        Parameters
        ----------
        path : str or Path
            File to write.
        columns : int
            Number of square pictures in a row of a PNG.

        Raises
        ------
        InputError
            The path ends neither in .html nor in .png.
        OutputError
            The file cannot be written.
        """
        path = Path(path)
        if path.suffix not in (".html", ".png"):
            raise InputError(
                "showcase",
                where=path,
                rule="end in .html or .png",
                found=path.suffix or "no ending",
            )
        with written_whole(path) as temporary:
            if path.suffix == ".png":
                self._sheet(columns).save(temporary, "PNG")
            else:
                temporary.write_text(sealed(self._page()), encoding="utf-8")
        return path

    def _page(self) -> str:
        """Return the HTML text of the gallery; names and captions are escaped."""
        template = page_template(
            "gzfeatures.figures", "templates", "gallery.html", filters={"address": address}
        )
        return with_policy(template.render(gallery=self))

    def _sheet(self, columns: int) -> Image.Image:
        import matplotlib  # its font DejaVu Sans also has Greek and Cyrillic letters

        side = self.side
        # make the sheet at least as wide as its widest picture: a map may be wider than a row of
        # square pictures
        widest = max(item.width(side) for pictures in self.sections.values() for item in pictures)
        width = max(columns * (side + GAP), widest + GAP)
        sections, top = [], 0
        # compute the height of all sections before drawing: PIL cannot enlarge the sheet later
        for heading, pictures in self.sections.items():
            rows = list(_rows(pictures, width, side))
            sections.append((top, heading, rows))
            top += HEADING + len(rows) * (side + 2 * LINE)
        sheet = Image.new("RGB", (width + GAP, top + GAP), BACK)
        pen = ImageDraw.Draw(sheet)
        pen.font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 11)
        for top, heading, rows in sections:
            pen.text((GAP, top + 8), _one_line(heading, width // 7), fill=INK)
            for number, row in enumerate(rows):
                down = top + HEADING + number * (side + 2 * LINE)
                left = GAP
                for item in row:
                    wide = item.width(side)
                    picture = (
                        Image.new("RGB", (wide, side)) if item.picture is None else item.picture
                    )
                    sheet.paste(picture.resize((wide, side)), (left, down))
                    pen.text((left, down + side), _one_line(item.name, wide // 7), fill=INK)
                    pen.text(
                        (left, down + side + LINE - 2),
                        _one_line(item.caption, wide // 7),
                        fill=SOFT,
                    )
                    left += wide + GAP
        return sheet


def _rows(pictures: Sequence[Picture], width: int, side: int) -> Iterator[list[Picture]]:
    """Break pictures into rows that are at most `width` pixels wide."""
    row: list[Picture] = []
    filled = 0
    for picture in pictures:
        filled += picture.width(side) + GAP
        if row and filled > width:
            yield row
            row, filled = [], picture.width(side) + GAP
        row.append(picture)
    if row:
        yield row


def _one_line(text: str, limit: int) -> str:
    """Replace line breaks and control characters in a text, and cut it to `limit` characters."""
    return short("".join(sign if sign.isprintable() else "�" for sign in text), limit)
