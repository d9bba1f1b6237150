"""Decode JPEG, PNG, GIF, WebP and uncompressed TIFF pictures, after a check of their size."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext, suppress

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import (
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from gzfeatures.errors import InputError
from gzfeatures.images.decoding.grey_levels import Levels
from gzfeatures.images.decoding.warning_filter import without_warnings

MAX_PIXELS = 64_000_000
"""Most pixels of a picture that are decoded by default."""

MAGIC: tuple[tuple[bytes, Callable[..., ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"II*\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0*", TiffImagePlugin.TiffImageFile),
)
"""First bytes and reader of each picture format; the content decides, not the file's ending."""

HEAD = 2**16
"""Number of bytes at the start of a file that are searched for EXIF and animation marks."""

DEEP = ("I;16", "I;16B", "I;16L", "I", "F")
"""Pillow's image modes with more than 8 bits, whose values must be reduced to grey levels."""

BITS, FORMAT = 258, 339
"""TIFF tags: bits per sample, and whether a sample is unsigned (1), signed (2) or a float (3)."""

PNG_DEPTH = 24
"""Position of the byte with the bits per sample in a PNG header (W3C PNG, section 11.2.1)."""

PLAIN = Levels()


def picture(
    data: bytes, *, where: object, max_pixels: int = MAX_PIXELS, levels: Levels = PLAIN
) -> Image.Image:
    """Decode one picture as 8-bit grey or RGB, rotated upright.

    Parameters
    ----------
    data : bytes
        A JPEG, PNG, GIF, WebP or uncompressed TIFF file; of an animation the first frame.
    where : object
        Named in the error.
    max_pixels : int
        Largest width × height that is decoded; checked in the header.
    levels : Levels
        How values of more than 8 bits become grey levels; a range also applies to 8-bit values.

    Returns
    -------
    PIL.Image.Image
        Mode L (grey; 16 bits are divided by 257, other integers by their range) or RGB (colour;
        palettes are looked up, CMYK is converted without a profile, alpha is dropped). It is
        rotated as the EXIF data say.

    Raises
    ------
    InputError
        The file is empty, no image, too large, truncated or damaged; or it contains floats, and
        neither range nor stretch is given.
    """
    if not data:
        raise InputError("image has zero bytes", where=where, remedy="download it again")
    # choose the decoder by the first bytes, because names of downloaded files often have a wrong
    # ending
    reader = next((reader for magic, reader in MAGIC if data.startswith(magic)), None)
    if reader is None:
        raise InputError(
            "not an image",
            where=where,
            rule="be a JPEG, PNG, GIF, TIFF or WebP file",
            found=data[:12],
        )
    try:
        # call the decoder directly: `Image.open` depends on a size limit and on warning filters
        # that apply to the whole process
        with without_warnings(Image.DecompressionBombWarning) if _may_warn(data) else nullcontext():
            image = reader(io.BytesIO(data), "")
        if image.width * image.height > max_pixels:
            raise InputError(
                "image is too large to decode",
                where=where,
                rule=f"hold at most {max_pixels:,} pixels",
                found=f"{image.width}×{image.height}",
            )
        if image.format == "TIFF" and image.info.get("compression") != "raw":
            # refuse compressed TIFF, because libtiff writes its error messages to stderr, where we
            # cannot catch them
            raise InputError(
                "TIFF is compressed", where=where, remedy="save it as PNG or as plain TIFF"
            )
        if levels.range and image.mode not in DEEP and _stored_bits(data, image) == 16:
            raise InputError(
                # refuse a range of pixel values for 16-bit colours, because Pillow keeps only their
                # upper 8 bits
                "colour picture of 16 bits",
                where=where,
                rule="be read over its whole range",
                remedy="leave range and stretch out, or give it as FITS or an array",
            )
        image.load()
        turned = _upright(image)
        return _plain(turned, image, levels, where)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        # catch every exception, because decoders raise any kind of error for damaged bytes
        truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
        what = "image is truncated" if truncated else "image cannot be decoded"
        raise InputError(what, where=where, found=f"{error or type(error).__name__}") from error


def decode_rgb(
    data: bytes, *, where: object, max_pixels: int = MAX_PIXELS, levels: Levels = PLAIN
) -> npt.NDArray[np.uint8]:
    """Decode one picture in colour, shape (height, width, 3).

    An undamaged JPEG is decoded by libjpeg-turbo directly, which gives the same pixels in a third
    of the time that Pillow takes.
    """
    pixels = decode(data, where=where, max_pixels=max_pixels, levels=levels)
    return in_colour(pixels)


def decode(
    data: bytes, *, where: object, max_pixels: int = MAX_PIXELS, levels: Levels = PLAIN
) -> npt.NDArray[np.uint8]:
    """Decode one picture: shape (height, width, 3) in colour, or (height, width) in grey.

    Parameters and errors are those of `picture`; an undamaged JPEG is decoded as in `decode_rgb`.
    """
    if levels == PLAIN and data.startswith(b"\xff\xd8\xff") and b"Exif" not in data[:HEAD]:
        # a JPEG without EXIF is not rotated, so the faster decoder of simplejpeg can be used
        with suppress(ValueError):
            height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data)
            if colour_space in ("YCbCr", "RGB") and height * width <= max_pixels:
                return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
    return np.array(picture(data, where=where, max_pixels=max_pixels, levels=levels))


def in_colour(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return pixels in colour, shape (height, width, 3); grey pixels are repeated three times."""
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def no_bands(where: object) -> InputError:
    """Return the error for a view that selects or stretches bands of an 8-bit picture."""
    return InputError(
        "view asks for bands of a picture",
        where=where,
        remedy="leave bands and stretch out of the view, or give FITS or arrays",
    )


def _may_warn(data: bytes) -> bool:
    """Return whether Pillow may warn about a header; False for JPEG and PNG without EXIF."""
    head = data[:HEAD]
    return head.startswith((b"GIF8", b"II*\0", b"MM\0*")) or b"Exif" in head or b"acTL" in head


def _upright(image: Image.Image) -> Image.Image:
    """Rotate a picture upright, as the orientation in its EXIF data says."""
    if "exif" not in image.info and image.format != "TIFF":
        return image
    with without_warnings():
        return ImageOps.exif_transpose(image)


def bits(data: bytes) -> tuple[str, int] | None:
    """Return type (u, i or f) and bits of a TIFF's values; None for other or damaged files."""
    if not data.startswith((b"II*\0", b"MM\0*")):
        return None
    # ignore errors here, because a damaged file is reported when the picture is decoded
    with suppress(Exception), without_warnings():
        return _bits(TiffImagePlugin.TiffImageFile(io.BytesIO(data), ""))
    return None


def _bits(image: Image.Image) -> tuple[str, int]:
    """Return type (u, i or f) and bits of a picture's values in its file; Pillow does not say."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        kinds = {1: "u", 2: "i", 3: "f"}
        formats, depths = image.tag_v2.get(FORMAT, (1,)), image.tag_v2.get(BITS, (1,))
        return kinds.get(int(np.ravel(formats)[0]), "u"), int(np.ravel(depths)[0])
    return ("f", 32) if image.mode == "F" else ("u", 16) if image.mode in DEEP else ("u", 8)


def _stored_bits(data: bytes, image: Image.Image) -> int:
    """Return how many bits a picture file stores per sample (one channel of one pixel).

    Pillow does not tell this number: it keeps only the upper 8 bits of 16-bit colours.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _bits(image)[1]
    return data[PNG_DEPTH] if isinstance(image, PngImagePlugin.PngImageFile) else 8


def _plain(image: Image.Image, stored: Image.Image, levels: Levels, where: object) -> Image.Image:
    """Return the image in 8-bit grey or RGB; values of more bits are converted by `levels`."""
    # drop the picture's note about transparency, because Pillow would warn that it gets lost
    image.info.pop("transparency", None)
    if image.mode in DEEP:
        # Pillow reads 16-bit integers as 32-bit; convert them back, because white is the largest
        # value of the integer type, and that must be the type in the file
        kind, depth = _bits(stored)
        values = np.asarray(image)
        if kind == "u" and values.dtype == np.int32:
            values = values.view(np.uint32) if depth == 32 else values.astype(np.uint16)
        elif kind == "i" and depth == 16:
            values = values.astype(np.int16)
        return Image.fromarray(levels.of(values[None], where=where)[0])
    if levels.stretch is not None:
        raise no_bands(where)
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")
    if levels.range is None:
        return image
    return Image.fromarray(levels.of(np.asarray(image), where=where))
