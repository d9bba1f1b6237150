"""Make parts of a paper from a finished run: figures, tables, references, methods text."""
