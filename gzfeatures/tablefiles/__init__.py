"""Tables on disk, whatever their format, as plain columns."""
