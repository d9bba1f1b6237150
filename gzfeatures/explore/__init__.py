"""Search embedding tables for neighbours, duplicates, anomalies, label errors and prototypes."""
