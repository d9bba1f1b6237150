"""Search vectors of galaxies for similar galaxies, duplicates, anomalies and label errors."""
