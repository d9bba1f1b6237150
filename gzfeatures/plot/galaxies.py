"""Draw the map of an embedding table, or a gallery of galaxy images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gzfeatures.errors import InputError
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import as_ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.maps.figures import draw_map
from gzfeatures.maps.map import Map
from gzfeatures.plot.axes import axes_for
from gzfeatures.verbs.inputs import Place, images_of, labels_of
from gzfeatures.verbs.models import map_ as compute_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def map_(
    table: EmbeddingTable | Map | Place,
    labels: Labels | Place | None = None,
    *,
    ax: Axes | None = None,
    seed: int = 0,
    **options: Any,
) -> Axes:
    """Draw the UMAP of a table's embeddings, coloured by class.

    Parameters
    ----------
    table : EmbeddingTable, Map, str or Path
        Embeddings of the galaxies; or a map of them, if it was computed before.
    labels : Labels, str or Path, optional
        One class for each galaxy; galaxies without a label are grey.
    ax : Axes, optional
        Axes to draw on; by default those of a new figure.
    seed : int
        Seed of the map, and of the order in which points are drawn over each other.
    **options
        Options of `gz.map`, such as `neighbours=30`.

    Returns
    -------
    Axes
        Axes with the drawing.

    Raises
    ------
    InputError
        No galaxy of the map has a label, or `gz.map` refuses the table or an option.

    Examples
    --------
    >>> map_("table.parquet", "labels.csv")  # doctest: +SKIP
    """
    classes = None if labels is None else labels_of(labels)
    chart = table if isinstance(table, Map) else compute_map(table, classes, seed=seed, **options)
    with axes_for(ax, 4.6, 4.2) as axes:
        draw_map(axes, chart, classes, seed=seed)
    return axes


def gallery(
    images: ImageSet | Place,
    ids: Iterable[str] | None = None,
    *,
    titles: Iterable[str] | None = None,
    columns: int = 8,
    view: View | str = "size=96",
    ax: Axes | None = None,
) -> Axes:
    """Draw images of galaxies in rows, each with its id or title below.

    Parameters
    ----------
    images : ImageSet, str or Path
        Images, or their folder or archive.
    ids : iterable of str, optional
        Galaxies to draw, in this order; by default the first 24.
    titles : iterable of str, optional
        Text below each image; by default its id.
    columns : int
        Number of images in a row.
    view : View or str
        Crop of the images, and their size in pixels.
    ax : Axes, optional
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    Axes
        Axes with the drawing.

    Raises
    ------
    InputError
        A galaxy has no image, an image cannot be read, or titles and galaxies differ in number.

    Examples
    --------
    >>> gallery("images/", gz.odd("table.parquet")["galaxy_id"].head(16))  # doctest: +SKIP
    """
    pictures = images_of(images)
    chosen = pictures.select(pictures.ids[:24] if ids is None else as_ids(list(ids)))
    texts = list(map(str, chosen.ids)) if titles is None else list(titles)
    if len(texts) != len(chosen) or not len(chosen) or columns < 1:
        raise InputError(
            "gallery", rule=f"have a title for each of {len(chosen)} images", found=len(texts)
        )
    seen = View.parse(view) if isinstance(view, str) else view
    across = min(columns, len(chosen))
    rows = -(-len(chosen) // across)
    with axes_for(ax, 1.1 * across, 1.25 * rows) as axes:
        for row, text in enumerate(texts):
            x, y = row % across, row // across
            pixels = chosen.pixels(row, seen)[..., :3]
            axes.imshow(pixels, extent=(x + 0.03, x + 0.97, y + 0.86, y - 0.08))
            axes.text(x + 0.5, y + 0.88, text, ha="center", va="top", fontsize=6.5)
        axes.set(xlim=(0, across), ylim=(rows + 0.06, -0.1), aspect="equal")
        axes.set_axis_off()
    return axes
