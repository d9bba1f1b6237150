"""Import, export, repair and join embedding tables that are shared with other programs."""
