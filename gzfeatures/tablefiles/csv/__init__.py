"""Read CSV tables: header, records and stray rows."""
