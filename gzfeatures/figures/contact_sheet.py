"""Draw many galaxy images side by side in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from gzfeatures.errors import InputError
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View


def contact_sheet(
    images: ImageSet,
    *,
    captions: Sequence[str] | None = None,
    columns: int = 10,
    view: View | None = None,
) -> Image.Image:
    """Return one picture with the given galaxy images in rows, with captions if given.

    Parameters
    ----------
    images : ImageSet
        Images, in the order in which they are drawn.
    captions : sequence of str, optional
        One line under each image.
    columns : int
        Images per row.
    view : View, optional
        Crop and size of each image in the picture; by default the whole image at 96 pixels.

    Returns
    -------
    PIL.Image.Image
        RGB picture, as wide as `columns` images.

    Raises
    ------
    InputError
        No images are given, their number is not that of the captions, or an image is broken.
    """
    if not len(images) or columns < 1:
        raise InputError(
            "contact sheet", rule="have an image and a column", found=(len(images), columns)
        )
    if captions is not None and len(captions) != len(images):
        raise InputError("contact sheet: captions", rule=f"be {len(images)}", found=len(captions))
    from PIL import ImageDraw

    view = view or View(size=96)
    # height in pixels of the strip for a caption; without captions rows of images touch
    line = 14 if captions is not None else 0
    sheet = Image.new(
        "RGB", (columns * view.size, math.ceil(len(images) / columns) * (view.size + line))
    )
    pen = ImageDraw.Draw(sheet)
    for row in range(len(images)):
        left, top = row % columns * view.size, row // columns * (view.size + line)
        sheet.paste(Image.fromarray(images.pixels(row, view)), (left, top))
        if captions is not None:
            pen.text(
                (left + 2, top + view.size), captions[row][: view.size // 6], fill=(200, 200, 200)
            )
    return sheet
