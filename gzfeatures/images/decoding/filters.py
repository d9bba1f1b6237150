"""List the filters of surveys: their names in files and headers, and their central wavelengths."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

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

TENS = frozenset((
    # JWST: NIRCam, NIRISS and MIRI
    "F070W", "F090W", "F115W", "F140M", "F150W", "F150W2", "F158M", "F162M", "F164N", "F182M",
    "F187N", "F200W", "F210M", "F212N", "F250M", "F277W", "F300M", "F322W2", "F323N", "F335M",
    "F356W", "F360M", "F380M", "F405N", "F410M", "F430M", "F444W", "F460M", "F466N", "F470N",
    "F480M", "F560W", "F770W", "F1000W", "F1130W", "F1280W", "F1500W", "F1800W", "F2100W", "F2550W",
    # HST: the infrared channel of WFC3
    "F098M", "F105W", "F110W", "F125W", "F126N", "F127M", "F128N", "F130N", "F132N", "F139M",
    "F140W", "F153M", "F160W", "F167N",
    # HST: NICMOS
    "F090M", "F095N", "F097N", "F108N", "F110M", "F113N", "F145M", "F165M", "F166N", "F170M",
    "F171M", "F175W", "F180M", "F187W", "F190N", "F196N", "F200N", "F204M", "F205W", "F207M",
    "F215N", "F216N", "F222M", "F237M", "F240M",
))  # fmt: skip
"""Filters of JWST and HST whose number is the wavelength in units of 10 nm.

Sources: JWST User Documentation (NIRCam Filters, NIRISS Filters, MIRI Filters), and the Instrument
Handbooks of WFC3 and NICMOS. F410M is taken for JWST's, although WFC3 has a filter of that name at
411 nm: images in that one need the bands of a view named."""

NANOMETRES = frozenset((
    # HST: the ultraviolet and visible channel of WFC3
    "F218W", "F225W", "F275W", "F336W", "F390W", "F438W", "F475W", "F555W", "F606W", "F625W",
    "F775W", "F814W", "F390M", "F467M", "F547M", "F621M", "F689M", "F763M", "F845M", "F280N",
    "F343N", "F373N", "F395N", "F469N", "F487N", "F502N", "F631N", "F645N", "F656N", "F657N",
    "F658N", "F665N", "F673N", "F680N", "F953N",
    # HST: ACS
    "F122M", "F220W", "F250W", "F330W", "F344N", "F435W", "F550M", "F660N", "F892N",
    # HST: WFPC2
    "F170W", "F185W", "F255W", "F300W", "F375N", "F380W", "F390N", "F437N", "F439W", "F450W",
    "F569W", "F588N", "F622W", "F675W", "F702W", "F785LP", "F791W", "F1042M",
))  # fmt: skip
"""Filters of HST whose number is the wavelength in nm.

Sources: Instrument Handbooks of WFC3, ACS and WFPC2."""

PIVOTS = {
    "F115LP": 141, "F125LP": 144, "F140LP": 153, "F150LP": 161, "F165LP": 176, "F200LP": 490,
    "F300X": 282, "F350LP": 585, "F475X": 494, "F600LP": 747, "F850LP": 912,
}  # fmt: skip
"""Pivot wavelengths in nm of HST filters whose number is the wavelength where they begin to pass.

Those up to F165LP are of ACS's far ultraviolet channel, the others of WFC3 and ACS."""

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
_WHEELS = re.compile(r"(f162m|f164n|f323n|f405n|f466n|f470n)-f\d{3}w2?", re.IGNORECASE)
_NARROW = re.compile(r"(?:hsc[-_])?(nb|ib)(\d{3,4})", re.IGNORECASE)
_GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|omicron|pi|rho|sigma|"
    "tau|upsilon|phi|chi|psi|omega|[α-ω]"
)
_LINE = re.compile(rf"H[ .'_-]+(?:{_GREEK}|I+)(?![a-z]).*", re.IGNORECASE)
"""Pattern of the name of a line of hydrogen, such as H alpha or H II, which is no band's name."""
_KS = re.compile(r"K[ .]+s(?:hort)?", re.IGNORECASE)
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

SCIENCE = frozenset({"sci", "science", "image", "data", "flux", "signal"})
"""Names of the FITS unit with the galaxy's image (JWST and HST: SCI; HSC and LSST: IMAGE)."""


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
    if match := _WHEELS.fullmatch(text):
        # names of JWST's products have the filters in both wheels; the first is the narrower one
        return match[1].upper()
    if match := _NARROW.fullmatch(text):
        return f"{match[1].upper()}{match[2]}"
    if match := _PREFIXED.fullmatch(text):
        return f"{match[1].upper()}-{match[2].upper()}"
    if _KS.fullmatch(text):
        return "Ks"
    if (match := _HEADER.fullmatch(text)) and not _LINE.fullmatch(text):
        return canonical(match[1])
    return None


def filter_of(header: Mapping[str, Any]) -> str:
    """Return the filter named in an image's header; skip a filter wheel in position CLEAR.

    Light that passed a filter in JWST's pupil wheel (PUPIL) is of that filter's band: NIRCam has
    its narrow filters there, and behind each a wide one in FILTER, which passes more.

    Examples
    --------
    >>> filter_of({"FILTER": "F444W", "PUPIL": "F405N"})
    'F405N'
    >>> filter_of({"FILTER": "F444W", "PUPIL": "CLEAR"})
    'F444W'
    """
    pupil = canonical(str(header.get("PUPIL", "")))
    in_pupil = pupil if pupil is not None and _SPACE.fullmatch(pupil) else ""
    for text in (str(header.get("BAND", "")), in_pupil, str(header.get("FILTER", ""))):
        text = text.strip()
        if text and not text.upper().startswith("CLEAR"):
            return canonical(text) or text
    wheels = (
        canonical(str(header.get(key, "")))
        for key in ("FILTER1", "FILTER2", "FILTER01", "FILTNAM1")
    )
    return next((name for name in wheels if name), "")


def wavelength(name: str) -> float | None:
    """Return the central wavelength of a filter in nm; None if unknown."""
    filter_name = canonical(name)
    if filter_name is None:
        return None
    if match := _SPACE.fullmatch(filter_name):
        if filter_name in TENS:
            return 10.0 * int(match[1])
        return float(match[1]) if filter_name in NANOMETRES else PIVOTS.get(filter_name)
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


def words_of(name: str, keep: bool = False) -> list[str]:
    """Split the name of a file or FITS unit into words; with `keep`, return separators too."""
    return re.split(r"([-_. ])" if keep else r"[-_. ]", name)


def is_weight(name: str) -> bool:
    """Return whether a name says that an image contains weights, errors or a mask, not a galaxy.

    `name` is the EXTNAME or IMAGETYP of a FITS unit, or a file name, whose last word counts.

    Examples
    --------
    >>> is_weight("M51_r_wht"), is_weight("ERR"), is_weight("M51_r")
    (True, True, False)
    """
    words = words_of(name.strip().lower())
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
