"""Keep an index beside a large table: its vectors in the order of cells of near vectors."""
