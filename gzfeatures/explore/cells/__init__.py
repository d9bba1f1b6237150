"""Keep an index file beside a large table: its vectors, sorted into cells of near vectors."""
