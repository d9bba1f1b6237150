"""Define the base class of an experiment file's sections, which refuses unknown keys.

Values cannot be changed after they were read.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Store the settings of a section; refuse an unknown key, and any change of a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
