"""Read tables in all formats of astronomers as columns of plain text and numbers."""
