"""Read tables of any known format as plain columns."""
