"""Join and write catalogs that are divided on disk into partitions of the sky (HATS format)."""
