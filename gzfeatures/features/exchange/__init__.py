"""Exchange embedding tables with other programs: import, export, repair, join."""
