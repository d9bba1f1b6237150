"""Search a table of embeddings: neighbours, duplicates, anomalies, label errors, prototypes."""
