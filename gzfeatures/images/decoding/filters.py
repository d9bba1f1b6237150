"""List the filters of surveys: their names in files and headers, and their central wavelengths."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable

LETTERS = {
    "u": 354,
    "g": 475,
    "r": 622,
    "i": 763,
    "z": 905,
    "y": 990,
    "j": 1250,
    "h": 1650,
    "k": 2150,
    "ks": 2150,
}
"""Central wavelengths in nm (Fukugita et al. 1996; y of PS1; J, H, Ks of 2MASS)."""

NAMED = {
    "FUV": 154, "NUV": 232, "VIS": 715, "NIR_Y": 1080, "NIR_J": 1370, "NIR_H": 1770, "W1": 3400,
    "W2": 4600, "W3": 12000, "W4": 22000,
}  # fmt: skip
"""Central wavelengths in nm of GALEX, Euclid and WISE filters.

Euclid: Schirmer et al. 2022, doi:10.1051/0004-6361/202142897."""

MICRONS = {
    "250M",
    "277W",
    "300M",
    "322W2",
    "335M",
    "356W",
    "360M",
    "410M",
    "430M",
    "444W",
    "460M",
    "480M",
    "560W",
    "770W",
}
"""JWST filters whose number is in units of 10 nm, although HST filters of that size use nm."""

PREFIXES = (
    "hsc",
    "sdss",
    "des",
    "decam",
    "decals",
    "ls",
    "ps1",
    "panstarrs",
    "kids",
    "lsst",
    "cfht",
    "vista",
    "ukidss",
    "2mass",
    "skymapper",
)
"""Names of surveys that may precede the letter of a filter, as in HSC-G or des_r."""

_PREFIXED = re.compile(rf"({'|'.join(PREFIXES)})[-_. ]?([ugrizyjhk]|ks|z)", re.IGNORECASE)
_EUCLID = re.compile(r"(?:nir|nisp)[-_. ]?([yjh])", re.IGNORECASE)
_SPACE = re.compile(r"f(\d{3,4})(w2|lp|[wmnx])", re.IGNORECASE)
_NARROW = re.compile(r"(?:hsc[-_])?(nb|ib)(\d{3,4})", re.IGNORECASE)
_HEADER = re.compile(r"([ugrizyYJHK]|Ks)(?=[ .']|$).*")

TAILS = ("sci", "drz", "drc", "i2d", "img", "image", "cutout", "coadd", "sw", "lw")
"""Words that may follow the name of a filter in a file name."""

WEIGHTS = frozenset((
    "err", "error", "errors", "wht", "weight", "weights", "wgt", "var", "variance", "ivar",
    "invvar", "ivm", "rms", "sigma", "noise", "unc", "uncert", "uncertainty", "std", "stddev",
    "mask", "dq", "flag", "flags", "bpm", "badpix", "badpixel", "ctx", "con", "context", "exp",
    "exptime", "expmap", "exposure", "coverage", "nexp", "nimage", "psf", "psfsize", "bkg",
    "background", "sky", "segm", "seg", "segmap", "segmentation", "area", "covar", "cov",
    "quality", "maskbits", "model", "resid", "residual",
))  # fmt: skip
"""Words in names of FITS units and files that contain weights, errors, masks or models."""


def canonical(text: str) -> str | None:
    """Return the standard name of a filter; None if the text names no known filter.

    Parameters
    ----------
    text : str
        A word of a file name, or the value in a header: `hsc_g`, `HSC-G`, `f115w`, `NISP_Y`, `r
        DECam SDSS c0002`.

    Examples
    --------
    >>> [canonical(text) for text in ("g", "hsc_g", "f115w", "nir-y", "CLEAR")]
    ['g', 'HSC-G', 'F115W', 'NIR_Y', None]
    >>> canonical("r DECam SDSS c0002 6415.0")
    'r'
    """
    text = text.strip()
    if text.lower() in LETTERS:
        return text.lower() if text.lower() in "ugrizy" else text.lower().capitalize()
    if text.upper() in NAMED:
        return text.upper()
    if match := _EUCLID.fullmatch(text):
        return f"NIR_{match[1].upper()}"
    if match := _SPACE.fullmatch(text):
        return f"F{match[1]}{match[2].upper()}"
    if match := _NARROW.fullmatch(text):
        return f"{match[1].upper()}{match[2]}"
    if match := _PREFIXED.fullmatch(text):
        return f"{match[1].upper()}-{match[2].upper()}"
    if match := _HEADER.fullmatch(text):
        return canonical(match[1])
    return None


def wavelength(name: str) -> float | None:
    """Return the central wavelength of a filter in nm; None if unknown."""
    filter_name = canonical(name)
    if filter_name is None:
        return None
    if match := _SPACE.fullmatch(filter_name):
        number, kind = match[1], match[2]
        tens = (
            number.startswith("0")
            or int(number) <= 210
            or int(number) >= 1000
            or number + kind in MICRONS
        )
        return float(number) * (10 if tens else 1)
    if match := _NARROW.fullmatch(filter_name):
        return float(match[2])
    return NAMED.get(filter_name) or LETTERS[_letter(filter_name)]


def alike(one: str, other: str) -> bool:
    """Return whether two names may mean the same filter: `HSC-R` and `r` may, `HSC-I` and `r` not.

    Examples
    --------
    >>> alike("HSC-R", "r"), alike("HSC-R", "HSC-I")
    (True, False)
    """
    first, second = canonical(one) or one, canonical(other) or other
    if first == second:
        return True
    bare = {first, second} & {name for name in (first, second) if name.lower() in LETTERS}
    return len(bare) == 1 and _letter(first) == _letter(second) != ""


def _letter(name: str) -> str:
    """Return the last letter of a survey's filter name (`HSC-R` gives r); "" if it has none."""
    last = re.split(r"[-_]", name)[-1].lower()
    return last if last in LETTERS else ""


def split(stem: str, named: Collection[str] = ()) -> tuple[str, str, bool] | None:
    """Split a file name into galaxy, band, and whether this is certain; None without a band.

    A band at the end of a name is certain. A band elsewhere in a name, W1 … W4, or a capital letter
    is certain only if the galaxy has a second band.

    Parameters
    ----------
    stem : str
        File name without ending: `PGC0000212_g`, `gal_F200W_i2d`, `2-cutout-HSC-G-9813-pdr2`.
    named : collection of str
        Names of bands besides the known filters.

    Examples
    --------
    >>> split("PGC0000212_g"), split("EUC_1_NIR_Y"), split("M51"), split("EUC_VIS_1")
    (('PGC0000212', 'g', True), ('EUC_1', 'NIR_Y', True), None, ('EUC_1', 'VIS', False))
    """
    words = re.split(r"([-_.])", stem)
    tail = len(words)
    # skip words after the filter, such as `drz` or `i2d`, which describe how the file was made
    while tail > 2 and words[tail - 1].lower() in TAILS:
        tail -= 2
    for last in range(tail, 0, -2):
        # try two words first (`HSC-G`, `NIR_Y`), then one word (`g`), so that the longest filter
        # name is found
        for length in (3, 1):
            first = last - length
            text = "".join(words[max(first, 0) : last])
            band = (
                text
                if text in named
                else canonical(text)
                if first >= 0 and " " not in text
                else None
            )
            rest = _joined(words[:first], words[last:tail])
            if band is None or first < 0 or not rest or (length == 1 and text.isdigit()):
                continue
            certain = (
                last == tail
                and (len(text) > 1 or text in "ugrizy" or text in named)
                and text.lower() not in ("w1", "w2", "w3", "w4")
            )
            if len(text) == 1 and last != tail and text not in "ugrizy":
                continue
            return rest, band, certain
    return None


def _joined(before: list[str], after: list[str]) -> str:
    """Join the parts of a file name before and after its band; drop one of two separators."""
    return "".join([*before[:-1], *after]) if before else "".join(after[1:])


def is_weight(name: str) -> bool:
    """Return whether a name says that an image contains weights, errors or a mask, not a galaxy.

    `name` is the EXTNAME or IMAGETYP of a FITS unit, or a file name, whose last word counts.

    Examples
    --------
    >>> is_weight("M51_r_wht"), is_weight("ERR"), is_weight("M51_r")
    (True, True, False)
    """
    words = re.split(r"[-_. ]", name.strip().lower())
    return words[-1] in WEIGHTS or words[0] in WEIGHTS


def images_among(names: Iterable[str]) -> list[str]:
    """Return the names of image files; leave out files of their weights, errors and masks.

    The name of such a file begins with the name of the image: `a.fits` and `a_weight.fits`.
    """
    listed = list(names)
    stems = {_stem(name) for name in listed}
    return [name for name in listed if not _lies_beside(_stem(name), stems)]


def _stem(name: str) -> str:
    stem, ending = posixpath.splitext(posixpath.basename(name))
    return posixpath.splitext(stem)[0] if ending.lower() in (".gz", ".fz") else stem


def _lies_beside(stem: str, stems: set[str]) -> bool:
    """Return whether a name means weights, errors or a mask of an image in the same list."""
    match = re.fullmatch(r"(.+)([-_.])([A-Za-z]+)", stem)
    if match is None or match[3].lower() not in WEIGHTS:
        return False
    beside = {
        match[1],
        *(f"{match[1]}{match[2]}{word}" for tail in TAILS for word in (tail, tail.upper())),
    }
    return not stems.isdisjoint(beside)
