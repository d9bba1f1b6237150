"""Draw maps, scores, rankings and galleries on matplotlib axes: `gz.plot.map(table, labels)`.

Every function draws on the axes `ax` and returns them. Without `ax`, it makes a new figure, which a
notebook shows.
"""

from gzfeatures.plot.galaxies import gallery as gallery
from gzfeatures.plot.galaxies import map_ as map
from gzfeatures.plot.scores import confusion as confusion
from gzfeatures.plot.scores import ranking as ranking
from gzfeatures.plot.scores import reliability as reliability

__all__ = ["confusion", "gallery", "map", "ranking", "reliability"]
