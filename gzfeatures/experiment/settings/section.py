"""Define what all sections of an experiment file share: no unknown key, and no change later."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Hold the settings of one section; an unknown key is refused, and no value changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
