"""Turn a finished run into parts of a paper: figures, tables, references, a methods paragraph."""
