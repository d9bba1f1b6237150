"""Who the galaxies are, and what volunteers said of them."""
