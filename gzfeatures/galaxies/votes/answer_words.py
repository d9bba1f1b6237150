"""Name the 37 answers of the Galaxy Zoo decision tree in an astronomer's words."""

from __future__ import annotations

WORDS: dict[str, tuple[str, ...]] = {
    "smooth": ("smooth", "elliptical", "early type", "featureless"),
    "features-or-disk": ("features", "featured", "disk", "disc", "late type", "features or disk"),
    "star-or-artifact": ("star", "artifact", "artefact", "star or artifact"),
    "edge-on-yes": ("edge on", "edge on disk", "edge on disc"),
    "edge-on-no": ("face on", "not edge on", "face on disk", "face on disc"),
    "bar-yes": ("bar", "barred", "bars"),
    "bar-no": ("no bar", "unbarred"),
    "spiral-yes": ("spiral", "spirals", "spiral arms", "arms"),
    "spiral-no": ("no spiral", "no spiral arms", "no arms", "armless"),
    "bulge-none": ("face on without bulge",),
    "bulge-just-noticeable": ("small bulge", "noticeable bulge", "just noticeable bulge"),
    "bulge-obvious": ("obvious bulge", "large bulge", "bulge"),
    "bulge-dominant": ("dominant bulge", "bulge dominated"),
    "odd-yes": ("odd", "unusual", "peculiar", "strange"),
    "odd-no": ("normal", "ordinary", "nothing odd"),
    "completely-round": ("round", "completely round", "circular"),
    "in-between": ("in between", "oval"),
    "cigar-shaped": ("cigar", "cigar shaped", "elongated"),
    "ring": ("ring", "rings", "ringed"),
    "lens-or-arc": ("lens", "arc", "lens or arc", "gravitational lens"),
    "disturbed": ("disturbed", "tidal"),
    "irregular": ("irregular",),
    "other": ("other", "something else"),
    "merger": ("merger", "mergers", "merging", "interacting"),
    "dust-lane": ("dust lane", "dust", "dusty"),
    "bulge-shape-rounded": ("rounded bulge", "round bulge"),
    "bulge-shape-boxy": ("boxy bulge", "boxy", "peanut"),
    "bulge-shape-none": ("edge on without bulge", "edge on no bulge"),
    "winding-tight": ("tight arms", "tightly wound", "tight winding", "tight"),
    "winding-medium": ("medium winding", "medium arms", "medium wound"),
    "winding-loose": ("loose arms", "loosely wound", "loose winding", "loose"),
    "arms-1": ("one arm", "1 arm", "one armed"),
    "arms-2": ("two arms", "2 arms", "two armed", "grand design"),
    "arms-3": ("three arms", "3 arms", "three armed"),
    "arms-4": ("four arms", "4 arms", "four armed"),
    "arms-more-than-4": ("more than four arms", "more than 4 arms", "many arms", "flocculent"),
    "arms-cant-tell": ("uncountable arms", "cant tell arms"),
}
"""Answer → phrases that mean it, beside its own name; each phrase belongs to one answer."""

SHARED: dict[str, tuple[str, ...]] = {
    "no bulge": ("bulge-none", "bulge-shape-none"),
    "bulgeless": ("bulge-none", "bulge-shape-none"),
    "without bulge": ("bulge-none", "bulge-shape-none"),
}
"""Phrase → answers, any of which it means: edge-on disks have a question of their own on bulges."""
