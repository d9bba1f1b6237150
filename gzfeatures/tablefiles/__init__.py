"""Read tables of any format as plain columns."""
