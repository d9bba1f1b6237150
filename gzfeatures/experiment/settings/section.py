"""Define a section of an experiment file, which has no unknown key and never changes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Hold the settings of one section; an unknown key is refused, and no value changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
