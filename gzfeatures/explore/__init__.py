"""Search embeddings for similar galaxies, duplicates, anomalies and wrong labels."""
