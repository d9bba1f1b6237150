"""The synthetic survey: its light, its camera, its volunteers, and what lies on disk."""

from __future__ import annotations

import dataclasses
import io
import math
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from gzfeatures.errors import InputError, OutputError
from gzfeatures.figures.contact_sheet import contact_sheet
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.galaxies.votes.column_names import GZ2
from gzfeatures.galaxies.votes.gz2_class_strings import readable
from gzfeatures.galaxies.votes.votes import ANSWERS, COLUMNS, NEXT, PARENTS, QUESTIONS
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.synthetic.galaxy_shape import Galaxy
from gzfeatures.synthetic.observation import (
    GAIN,
    PEDESTAL,
    SEEING,
    SKY_NOISE,
    coloured,
    exposed,
    neighbours,
    observed,
    photograph,
)
from gzfeatures.synthetic.population import LIMIT, TYPES, distance, member, nearby, type_of
from gzfeatures.synthetic.profiles import PIXEL, bands, on_pixels, sersic, sersic_b
from gzfeatures.synthetic.surface_brightness import surface_brightness
from gzfeatures.synthetic.survey import FIRST_ID, REPEAT_EVERY, MockSurvey, draw_survey
from gzfeatures.synthetic.vote_probabilities import chances, visibility
from gzfeatures.synthetic.votes import Panel, gz2_class

Plane = npt.NDArray[np.float64]
N = 200


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> MockSurvey:
    return draw_survey(tmp_path_factory.mktemp("sky"), n=N, size=96, progress=False)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(
        path, dtype={"GalaxyID": str, "asset_id": str, "same_as": str, "dr7objid": str}
    )


def files(survey: MockSurvey) -> dict[str, bytes]:
    return {
        p.name: p.read_bytes()
        for p in [*survey.images.iterdir(), survey.catalog, survey.hart, survey.truth]
    }


def shape_of(image: Plane) -> tuple[float, float]:
    """Axis ratio and position angle (counter-clockwise from x) by second moments."""
    offset = np.arange(len(image)) - (len(image) - 1) / 2
    x, y = np.meshgrid(offset, -offset)
    xx, yy, xy = ((image * m).sum() / image.sum() for m in (x * x, y * y, x * y))
    small, large = np.linalg.eigvalsh([[xx, xy], [xy, yy]])
    return math.sqrt(small / large), 0.5 * math.atan2(2 * xy, xx - yy)


# --- light


@pytest.mark.parametrize(
    ("n", "error"), [(0.6, 1e-4), (1.0, 2e-5), (2.5, 1e-6), (4.0, 1e-6), (8.0, 1e-6)]
)
def test_effective_radius_holds_half_the_light_of_a_sersic_profile(n: float, error: float) -> None:
    from scipy.special import gammainc

    assert gammainc(2 * n, sersic_b(n)) == pytest.approx(0.5, abs=error)


def test_cusp_is_averaged_over_the_pixel() -> None:
    step = PIXEL / 501
    fine = (np.arange(501) - 250) * step
    x, y = np.meshgrid(fine, fine)
    truth = sersic(np.hypot(x, y), 2.0, 4.0).mean()
    grid = (np.arange(61) - 30) * PIXEL
    x, y = np.meshgrid(grid, grid)
    sampled = on_pixels(lambda u, v: sersic(np.hypot(u, v), 2.0, 4.0), x, y)
    next_door = sersic(np.array(20 * PIXEL), 2.0, 4.0)
    assert sampled.sum() == pytest.approx(1)
    assert sampled[30, 30] / sampled[30, 50] == pytest.approx(truth / next_door, rel=0.02)


@pytest.mark.parametrize("ratio", [1.0, 0.7, 0.45, 0.25])
@pytest.mark.parametrize("angle", [0.0, 0.5, 2.2])
def test_drawn_galaxy_has_the_axis_ratio_and_direction_asked_for(
    ratio: float, angle: float
) -> None:
    galaxy = Galaxy("elliptical", 16, r50=4, sersic=1, axis_ratio=ratio, position_angle=angle)
    measured, direction = shape_of(surface_brightness(galaxy, 201, rng())[1])
    assert measured == pytest.approx(ratio, abs=0.02)
    if ratio < 0.9:
        assert math.sin(direction - angle) == pytest.approx(0, abs=0.02)


def test_mirrored_and_turned_galaxies_are_the_mirrored_and_turned_image() -> None:
    def draw(angle: float) -> Plane:
        galaxy = Galaxy(
            "edge-on", 16, 4, axis_ratio=0.2, position_angle=angle, bulge=0.3, bulge_shape="rounded"
        )
        image: Plane = surface_brightness(galaxy, 121, rng())[2]
        return image

    clumpy = 0.25 * draw(0.7).max()
    assert np.abs(draw(0.7)[::-1] - draw(-0.7)).max() < clumpy
    assert shape_of(draw(0.7)[::-1])[0] == pytest.approx(shape_of(draw(0.7))[0], abs=1e-9)
    smooth = [
        Galaxy("elliptical", 16, 4, 3, 0.5, position_angle=a)
        for a in (0.7, -0.7, 0.7 + math.pi / 2)
    ]
    upright, mirrored, turned = (surface_brightness(galaxy, 121, rng())[2] for galaxy in smooth)
    np.testing.assert_allclose(upright[::-1], mirrored, rtol=1e-6)
    np.testing.assert_allclose(np.rot90(upright), turned, rtol=1e-6)


def test_light_adds_up_to_the_magnitude() -> None:
    for kind in ("elliptical", "disk", "edge-on", "irregular", "merger", "star"):
        flux = surface_brightness(
            Galaxy(kind, 17.5, 3, bulge=0.2, arms=2 * (kind == "disk"), strength=0), 181, rng()
        )
        assert flux[1].sum() == pytest.approx(100, rel=0.03), kind


def spiral_mode(galaxy: Galaxy) -> tuple[int, float]:
    """Strongest angular mode of a face-on disk between 1 and 2.5 scale lengths, and the pitch angle
    of its phase."""
    from scipy.ndimage import map_coordinates

    image = surface_brightness(galaxy, 301, rng(3))[0]
    h = galaxy.r50 / 1.678 / PIXEL
    radius = np.linspace(1.0, 2.5, 25) * h
    angle = np.linspace(0, 2 * math.pi, 256, endpoint=False)
    rings = map_coordinates(
        image,
        [150 - radius[:, None] * np.sin(angle), 150 + radius[:, None] * np.cos(angle)],
        order=1,
    )
    modes = np.fft.rfft(rings / rings.mean(1, keepdims=True), axis=1)[:, :9]
    strongest = int(np.abs(modes[:, 1:]).sum(0).argmax()) + 1
    phase = np.unwrap(-np.angle(modes[:, strongest])) / strongest
    return strongest, math.degrees(math.atan(1 / np.polyfit(np.log(radius), phase, 1)[0]))


@pytest.mark.parametrize(
    ("arms", "pitch", "hand"), [(2, 15.0, 1), (2, 30.0, -1), (3, 20.0, 1), (4, 25.0, 1)]
)
def test_spiral_has_the_arms_and_the_winding_asked_for(arms: int, pitch: float, hand: int) -> None:
    galaxy = Galaxy("disk", 14, r50=14, arms=arms, pitch=pitch, strength=1, handedness=hand)
    found, angle = spiral_mode(galaxy)
    assert found == arms
    assert angle == pytest.approx(hand * pitch, rel=0.3)


def test_bulge_is_redder_than_the_arms() -> None:
    galaxy = Galaxy("disk", 14, r50=8, arms=2, strength=1, bulge=0.3)
    g, r, _ = surface_brightness(galaxy, 121, rng())
    offset = np.abs(np.arange(121) - 60)
    radius = np.hypot(*np.meshgrid(offset, offset)) * PIXEL
    colour = [
        -2.5 * math.log10(g[where].sum() / r[where].sum())
        for where in (radius < 1, (radius > 8) & (radius < 14))
    ]
    assert colour[0] > colour[1] + 0.15


def test_dust_lane_dims_the_plane_and_reddens_it() -> None:
    plain, dusty = (
        surface_brightness(Galaxy("edge-on", 15, 8, axis_ratio=0.25, dust=d), 121, rng())
        for d in (0.0, 1.5)
    )
    through = (dusty / plain)[:, 60, 60]
    assert through[0] < through[1] < through[2] < 0.6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"axis_ratio": 1.2}, r"galaxy: axis_ratio; must lie in 0\.01…1, found 1\.2"),
        ({"r50": math.nan}, r"galaxy: r50; must lie in 0\.01…1000, found nan"),
        ({"pitch": 0.0}, r"galaxy: pitch; must lie in 1…89, found 0\.0"),
    ],
)
def test_impossible_shapes_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(Galaxy("disk", 16, 3), **wrong)


# --- camera


def test_star_is_as_wide_as_the_seeing_and_loses_no_light() -> None:
    field = np.zeros((3, 81, 81))
    field[:, 40, 40] = 1
    image = observed(field)
    assert image.sum((1, 2)) == pytest.approx(1, abs=0.01)
    row = image[1, 40] / image[1, 40, 40]
    half = np.interp(0.5, row[40:][::-1], np.arange(41)[::-1])
    assert 2 * half * PIXEL == pytest.approx(SEEING, rel=0.03)


def test_noise_is_that_of_the_sky_and_of_the_photons() -> None:
    sky = exposed(np.zeros((3, 300, 300)), rng())
    np.testing.assert_allclose(sky.std((1, 2)), SKY_NOISE, rtol=0.02)
    bright = exposed(np.full((3, 300, 300), 5.0), rng())
    np.testing.assert_allclose(bright.var((1, 2)), SKY_NOISE**2 + 5 / GAIN, rtol=0.03)
    assert np.abs(sky.mean((1, 2))).max() < SKY_NOISE.max()


def test_colours_survive_the_stretch_and_saturation() -> None:
    flux = np.stack([np.full((8, 8), f) for f in (0.2, 1.0, 2.0)])
    faint, saturated = (np.asarray(coloured(flux * k, 8), dtype=float)[4, 4] for k in (0.05, 50))
    assert faint[0] > faint[1] > faint[2]
    assert saturated[0] == 255 and saturated[2] < 128
    black = np.asarray(coloured(np.zeros((3, 8, 8)), 8))
    assert np.all(black == round(255 * PEDESTAL))


def test_field_has_neighbours_but_keeps_clear_of_the_galaxy() -> None:
    field = neighbours(301, rng())
    middle = slice(140, 161)
    assert field.min() >= 0 and field[1].max() > 1
    assert field[1, middle, middle].max() < 0.1 * field[1].max()
    assert not np.array_equal(field, neighbours(301, rng(1)))


def test_photograph_looks_brightest_in_the_centre_of_a_dark_frame() -> None:
    galaxy = Galaxy("elliptical", 16, r50=3, sersic=4, axis_ratio=0.8, colour=0.85)
    pixels = np.asarray(Image.open(io.BytesIO(photograph(galaxy, 128, rng(), rng()))), dtype=float)
    assert pixels.shape == (128, 128, 3)
    assert pixels[60:68, 60:68].mean() > 100
    assert np.median(pixels) < 15
    red, _, blue = pixels[60:68, 60:68].mean((0, 1))
    assert red > 1.2 * blue


# --- population


def test_any_beginning_of_a_survey_holds_the_types_in_their_shares() -> None:
    for seed in (0, 1, 77):
        kinds = pd.Series([type_of(index, seed) for index in range(300)]).value_counts()
        for name, share in TYPES.items():
            assert abs(kinds[name] - 300 * share) <= 4


def test_distances_are_those_of_a_flat_universe() -> None:
    from astropy.cosmology import FlatLambdaCDM

    cosmology = FlatLambdaCDM(70, 0.3)
    for z in (0.01, 0.07, 0.15):
        modulus, kpc = distance(z)
        assert modulus == pytest.approx(cosmology.distmod(z).value, abs=2e-3)
        assert kpc == pytest.approx(cosmology.kpc_proper_per_arcmin(z).value / 60, rel=1e-3)


def test_galaxies_are_bright_enough_and_nearer_ones_are_easier_to_see() -> None:
    drawn = [member(index, 0, rng(index)) for index in range(150)]
    galaxies = [g for g in drawn if g.type != "artifact"]
    for galaxy in galaxies:
        assert galaxy.absolute_magnitude + distance(galaxy.redshift)[0] <= LIMIT + 1e-9
        assert 0 < galaxy.shape.axis_ratio <= 1
        near = nearby(galaxy, 0.03)
        assert visibility(near) >= visibility(galaxy.shape)
        assert (near == galaxy.shape) == (galaxy.redshift <= 0.03)
    assert (
        np.corrcoef([g.redshift for g in galaxies], [visibility(g.shape) for g in galaxies])[0, 1]
        < -0.3
    )


# --- volunteers


def test_chances_of_every_question_sum_to_one() -> None:
    for index in range(100):
        galaxy = member(index, 0, rng(index)).shape
        for clear in (0.02, 0.5, 0.98):
            values = chances(galaxy, clear)
            assert values.min() > 0
            for part in COLUMNS.values():
                assert values[part].sum() == pytest.approx(1)


def test_features_are_reported_where_they_are_visible() -> None:
    spiral = Galaxy("disk", 15, 8, arms=2, strength=0.8, bar=1.2)
    for answer in ("features-or-disk", "bar-yes", "spiral-yes", "arms-2"):
        column = ANSWERS.index(answer)
        assert chances(spiral, 0.95)[column] > 0.6 > chances(spiral, 0.05)[column]


@pytest.mark.parametrize(
    ("shape", "answer"),
    [
        (Galaxy("elliptical", 16, 3, axis_ratio=0.97), "completely-round"),
        (Galaxy("elliptical", 16, 3, axis_ratio=0.62), "in-between"),
        (Galaxy("elliptical", 16, 3, axis_ratio=0.25), "cigar-shaped"),
        (Galaxy("edge-on", 16, 6, bulge=0.3, bulge_shape="boxy"), "bulge-shape-boxy"),
        (Galaxy("edge-on", 16, 6), "edge-on-yes"),
        (Galaxy("disk", 16, 6, arms=3, pitch=9, strength=1), "winding-tight"),
        (Galaxy("disk", 16, 6, arms=3, pitch=32, strength=1), "winding-loose"),
        (Galaxy("disk", 16, 6, arms=6, strength=1), "arms-more-than-4"),
        (Galaxy("disk", 16, 6, ring=0.4), "ring"),
        (Galaxy("merger", 16, 6), "merger"),
        (Galaxy("irregular", 16, 6), "irregular"),
        (Galaxy("edge-on", 16, 6, dust=1.0), "dust-lane"),
        (Galaxy("star", 13, 6), "star-or-artifact"),
    ],
)
def test_most_volunteers_answer_the_truth_when_they_see_it(shape: Galaxy, answer: str) -> None:
    question = next(name for name, answers in QUESTIONS.items() if answer in answers)
    part = chances(shape, 0.95)[COLUMNS[question]]
    assert QUESTIONS[question][int(part.argmax())] == answer


def test_every_volunteer_walks_the_tree() -> None:
    given = Panel.draw(rng(), mean=500).votes(
        np.concatenate([np.full(len(a), 1 / len(a)) for a in QUESTIONS.values()])
    )
    for said in given:
        path: list[str] = []
        question: str | None = next(iter(QUESTIONS))
        while question is not None:
            (chosen,) = (a for a in QUESTIONS[question] if said[ANSWERS.index(a)])
            path.append(chosen)
            question = NEXT[chosen]
        assert said.sum() == len(path)
    assert given.any(0).all()


def test_careless_volunteers_guess_and_weigh_little() -> None:
    sure = np.zeros(len(ANSWERS))
    sure[[part.start for part in COLUMNS.values()]] = 1
    careless = Panel(rng().random((4000, len(QUESTIONS))), np.zeros(4000))
    careful = Panel(careless.luck, np.ones(4000))
    assert careful.votes(sure)[:, 0].all()
    assert careless.votes(sure)[:, 0].mean() == pytest.approx(1 / 3, abs=0.03)
    assert careless.weights.max() == 0 and careful.weights.min() == 1
    assert Panel(careless.luck[:1], np.array([0.3])).weights[0] == pytest.approx(0.5**8.5)


@pytest.mark.parametrize(
    ("answers", "name"),
    [
        ({"smooth", "completely-round"}, "Er"),
        ({"smooth", "cigar-shaped", "odd-yes", "merger"}, "Ec(m)"),
        ({"features-or-disk", "edge-on-yes", "bulge-shape-boxy", "odd-yes", "dust-lane"}, "Seb(u)"),
        (
            {
                "features-or-disk",
                "edge-on-no",
                "bar-no",
                "spiral-no",
                "bulge-dominant",
                "odd-yes",
                "ring",
            },
            "Sa(r)",
        ),
        (
            {
                "features-or-disk",
                "edge-on-no",
                "bar-yes",
                "spiral-yes",
                "bulge-none",
                "arms-more-than-4",
                "winding-loose",
            },
            "SBd+l",
        ),
        ({"star-or-artifact", "odd-yes"}, "A"),
    ],
)
def test_class_string_is_spelt_like_the_catalog(answers: set[str], name: str) -> None:
    answers = answers | ({"odd-no"} - {"odd-no" if "odd-yes" in answers else ""})
    votes = {
        q: np.array([float(a in answers) for a in options]) for q, options in QUESTIONS.items()
    }
    assert gz2_class(votes) == name


# --- on disk


def test_every_image_decodes_and_has_its_size(survey: MockSurvey) -> None:
    images = ImageSet.of(survey.images)
    check = images.check()
    assert (check.readable, check.missing, check.broken) == (N, (), ())
    with Image.open(survey.images / f"{FIRST_ID}.jpg") as image:
        assert image.size == (96, 96)
    assert (
        sorted(images.ids)
        == sorted(table(survey.catalog).GalaxyID)
        == sorted(table(survey.hart).asset_id)
    )


def test_same_seed_gives_the_same_bytes_and_a_larger_survey_begins_alike(
    survey: MockSurvey, tmp_path: Path
) -> None:
    first = draw_survey(tmp_path / "few", n=12, size=96, progress=False)
    before = files(first)
    assert files(draw_survey(tmp_path / "few", n=12, size=96, progress=False)) == before
    whole = files(survey)
    assert all(whole[name] == data for name, data in before.items() if name.endswith(".jpg"))
    for name in ("catalog.csv", "hart.csv", "truth.csv"):
        assert whole[name].startswith(before[name])
    other = files(draw_survey(tmp_path / "other", n=2, seed=1, size=96, progress=False))
    assert all(other[name] != before[name] for name in other)


def test_kaggle_votes_obey_the_tree(survey: MockSurvey) -> None:
    votes = table(survey.catalog)
    assert list(votes)[:4] == ["GalaxyID", "Class1.1", "Class1.2", "Class1.3"] and votes.shape == (
        N,
        38,
    )
    parents = {q: f"Class{list(QUESTIONS).index(q) + 1}." for q in QUESTIONS}
    values = votes.drop(columns="GalaxyID")
    assert values.min().min() >= 0 and values.max().max() <= 1
    for question, parent in PARENTS.items():
        total = values[[c for c in values if c.startswith(parents[question])]].sum(axis=1)
        expected = 1.0 if parent is None else values.iloc[:, ANSWERS.index(parent)]
        np.testing.assert_allclose(total, expected, atol=2e-6)


def test_hart_votes_are_counts_of_volunteers(survey: MockSurvey) -> None:
    votes = table(survey.hart)
    counts = votes[[f"{stem}_count" for stem in GZ2.values()]].to_numpy()
    assert votes.total_classifications.between(20, 65).all()
    np.testing.assert_array_equal(counts.sum(1), votes.total_votes)
    for question, part in COLUMNS.items():
        arriving = [ANSWERS.index(a) for a, after in NEXT.items() if after == question]
        asked = counts[:, arriving].sum(1) if arriving else votes.total_classifications
        np.testing.assert_array_equal(counts[:, part].sum(1), asked)
        for measure in ("fraction", "weighted_fraction", "debiased"):
            total = votes[[f"{stem}_{measure}" for stem in list(GZ2.values())[part]]].sum(axis=1)
            assert (np.isclose(total, 1, atol=1e-6) | (total == 0)).all()
    assert readable(votes.gz2_class).all()


def test_debiasing_finds_more_features(survey: MockSurvey) -> None:
    votes, stem = table(survey.hart), GZ2["features-or-disk"]
    far = votes.REDSHIFT > 0.07
    gain = votes[f"{stem}_debiased"] - votes[f"{stem}_weighted_fraction"]
    assert gain[far].mean() > 0.03
    assert (gain[votes.REDSHIFT <= 0.03] == 0).all()


def test_metadata_are_plausible(survey: MockSurvey) -> None:
    catalog, truth = Catalog.read(survey.hart), table(survey.truth)
    redshift = catalog.column("redshift")
    assert 0 < np.isnan(redshift).sum() < 0.15 * N
    assert np.nanmin(redshift) >= 0.012 and np.nanmax(redshift) <= 0.15
    assert (catalog.column("petro_r90") >= 3).all() and (
        catalog.column("petro_r90") <= 14.001
    ).all()
    assert list(catalog.ids) == list(truth.GalaxyID)
    assert catalog.frame.dr7objid.str.len().eq(18).all() and catalog.frame.dr7objid.is_unique
    assert set(truth.type) == set(TYPES)


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_every_scheme_works_on_one_of_the_catalogs(survey: MockSurvey, name: str) -> None:
    catalogs = [Catalog.read(path) for path in (survey.catalog, survey.hart)]
    scheme, counts = SCHEMES[name], []
    for catalog in catalogs:
        try:
            counts.append(scheme.label(catalog, seed=0).counts)
        except InputError as error:
            assert "must have" in str(error)
    assert any(sum(count > 0 for count in members.values()) >= 2 for members in counts)


@pytest.mark.parametrize("name", ["zhu-5class", "gz2-4class"])
def test_every_class_of_the_demo_has_enough_members(survey: MockSurvey, name: str) -> None:
    catalog = Catalog.read(survey.catalog if name == "zhu-5class" else survey.hart)
    assert min(SCHEMES[name].label(catalog, seed=0).counts.values()) >= 0.04 * N


def test_repeated_entries_are_found_by_file_and_by_place(survey: MockSurvey) -> None:
    truth, sky = table(survey.truth).set_index("GalaxyID"), table(survey.hart).set_index("asset_id")
    again, same = (truth.index[truth.repeats == kind] for kind in ("seen-again", "same-file"))
    assert len(again) + len(same) == N // REPEAT_EVERY and len(again) and len(same)

    def image(name: str) -> bytes:
        return (survey.images / f"{name}.jpg").read_bytes()

    for name in same:
        assert image(name) == image(truth.same_as[name])
    groups = ImageSet.of(survey.images).duplicate_groups()
    assert set(groups) == {*same, *truth.same_as[same]}
    for name in again:
        other = truth.same_as[name]
        assert image(name) != image(other)
        pixels = [
            np.asarray(Image.open(io.BytesIO(image(n))), dtype=float).ravel() for n in (name, other)
        ]
        assert np.corrcoef(pixels)[0, 1] > 0.95
        apart = (
            math.hypot((sky.ra[name] - sky.ra[other]) * math.cos(math.radians(sky.dec[name])), 0)
            * 3600
        )
        assert 0 < apart < 1 and sky.dec[name] == sky.dec[other]
    assert not truth.repeats.drop([*again, *same]).notna().any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n": 0}, r"synthetic survey: n; must lie in 1…1000000, found 0"),
        ({"seed": -1}, r"synthetic survey: seed; must lie in 0…\d+, found -1"),
        ({"size": 5}, r"synthetic survey: size; must lie in 16…2048, found 5"),
    ],
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, wrong: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw_survey(tmp_path, progress=False, **wrong)
    assert not list(tmp_path.iterdir())


def test_another_survey_is_not_mixed_in(tmp_path: Path) -> None:
    draw_survey(tmp_path, n=3, size=32, progress=False)
    with pytest.raises(
        InputError,
        match=r"images: 1 files of another survey, found 10000003\.jpg; choose an empty folder",
    ):
        draw_survey(tmp_path, n=2, size=32, progress=False)


@pytest.mark.parametrize("name", ["catalog.csv", "hart.csv", "truth.csv"])
def test_tables_of_others_are_never_replaced(tmp_path: Path, name: str) -> None:
    draw_survey(tmp_path, n=2, size=32, progress=False)
    draw_survey(tmp_path, n=2, seed=1, size=32, progress=False)
    header = (tmp_path / name).read_text().splitlines()[0]
    for text in ("GalaxyID,z\n10000001,0.1\n", f"{header}\n100008,0.5\n", f"{header}\n", ""):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=rf"{name}: file that no simulated survey"):
            draw_survey(tmp_path, n=2, size=32, progress=False)
        assert (tmp_path / name).read_text() == text


def test_a_large_table_of_others_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "catalog.csv").open("wb") as file:
        file.truncate(2**26)
    tracemalloc.start()
    with pytest.raises(InputError, match="file that no simulated survey has written"):
        draw_survey(tmp_path, n=2, size=32, progress=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that fails to read")
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "catalog.csv").symlink_to("/proc/self/mem")
    with pytest.raises(InputError, match=r"catalog\.csv: file cannot be read, found OSError"):
        draw_survey(tmp_path, n=2, size=32, progress=False)


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/images/10000001\.jpg: cannot be written"):
        draw_survey(tmp_path / "file", n=1, progress=False)


def test_progress_is_words_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_survey(tmp_path, n=1, size=32, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "drawing galaxies" in err


# --- contact sheet


def test_contact_sheet_shows_each_image_in_its_place(survey: MockSurvey) -> None:
    images = ImageSet.of(survey.images)
    images = images.select(images.ids[:5])
    sheet = contact_sheet(images, columns=3, view=View(size=32))
    assert sheet.size == (96, 64)
    tile = np.asarray(sheet)[32:, :32]
    np.testing.assert_array_equal(tile, images.pixels(3, View(size=32)))
    assert not np.asarray(sheet)[32:, 64:].any()
    titled = contact_sheet(images, captions=["a spiral <b>"] * 5, columns=5, view=View(size=32))
    assert titled.height > 32 and np.asarray(titled)[32:].any()


def test_contact_sheet_refuses_what_does_not_fit(survey: MockSurvey) -> None:
    images = ImageSet.of(survey.images)
    with pytest.raises(InputError, match=r"contact sheet; must have an image and a column"):
        contact_sheet(images.select(images.ids[:0]))
    with pytest.raises(InputError, match=rf"contact sheet: captions; must be {N}, found 1"):
        contact_sheet(images, captions=["one"])


def test_colours_of_bands_follow_g_minus_r() -> None:
    blue, red = bands(0.2), bands(0.9)
    assert -2.5 * math.log10(red[0] / red[1]) == pytest.approx(0.9)
    assert blue[0] > red[0] and blue[2] < red[2]
