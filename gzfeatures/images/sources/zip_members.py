"""Decide which images in an archive are safe to read, by their names, sizes and flags."""

from __future__ import annotations

import zipfile

from gzfeatures.images.sources.arrays import MAX_BYTES


def zip_fault(member: zipfile.ZipInfo) -> str | None:
    """Return why an image in a zip file must not be read; None if it is safe."""
    if member.flag_bits & 1:
        return "zip member is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "zip member is packed with another method than deflate"
    if (member.external_attr >> 16) & 0o170000 == 0o120000:
        return "archive member is a link"
    if member.header_offset < 0:
        return "zip member lies outside the file"
    return name_fault(member.filename, member.file_size)


def name_fault(name: str, size: int) -> str | None:
    """Return why an image with this name and size must not be read; None if it is safe."""
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0] or "\0" in name:
        return "name leaves the archive"
    return f"image is larger than {MAX_BYTES} bytes" if size > MAX_BYTES else None
