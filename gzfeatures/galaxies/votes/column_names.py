"""Name the vote columns of Kaggle's solutions table and of the Galaxy Zoo 2 catalogs, by answer."""

from __future__ import annotations

from gzfeatures.galaxies.votes.votes import ANSWERS, QUESTIONS, Measure

KAGGLE: dict[str, str] = {
    answer: f"Class{q}.{a}"
    for q, answers in enumerate(QUESTIONS.values(), start=1)
    for a, answer in enumerate(answers, start=1)
}
"""Column of each answer in the Kaggle solutions table."""

_GZ2_STEMS = {
    "t01_smooth_or_features": "a01_smooth a02_features_or_disk a03_star_or_artifact",
    "t02_edgeon": "a04_yes a05_no",
    "t03_bar": "a06_bar a07_no_bar",
    "t04_spiral": "a08_spiral a09_no_spiral",
    "t05_bulge_prominence": "a10_no_bulge a11_just_noticeable a12_obvious a13_dominant",
    "t06_odd": "a14_yes a15_no",
    "t07_rounded": "a16_completely_round a17_in_between a18_cigar_shaped",
    "t08_odd_feature": "a19_ring a20_lens_or_arc a21_disturbed a22_irregular a23_other a24_merger "
    "a38_dust_lane",
    "t09_bulge_shape": "a25_rounded a26_boxy a27_no_bulge",
    "t10_arms_winding": "a28_tight a29_medium a30_loose",
    "t11_arms_number": "a31_1 a32_2 a33_3 a34_4 a36_more_than_4 a37_cant_tell",
}

GZ2: dict[str, str] = dict(
    zip(
        ANSWERS,
        (f"{task}_{answer}" for task, answers in _GZ2_STEMS.items() for answer in answers.split()),
        strict=True,
    )
)
"""Column stem of each answer in Willett+2013 and Hart+2016, where a38 precedes a25."""

GZ2_SUFFIXES: dict[Measure, str] = {
    "count": "_count",
    "weight": "_weight",
    "fraction": "_fraction",
    "weighted": "_weighted_fraction",
    "debiased": "_debiased",
}
"""Suffix of the GZ2 vote columns, by kind of votes."""
