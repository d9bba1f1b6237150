"""CSV tables: their header, records and rows."""
