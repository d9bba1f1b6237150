"""Write parts of a paper about a finished run: figures, tables, references, methods text."""
