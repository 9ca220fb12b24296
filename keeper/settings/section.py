"""What every section of the configuration is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from keeper.settings import values

Count = Annotated[int, PlainValidator(values.whole(1))]


def key(description: str, unit: str, example: str, default: Any = ...) -> Any:  # noqa: ANN401 - pydantic's own signature
    """Describe a key: what it is, its unit, and an example as TOML writes it."""
    return Field(default, description=description, json_schema_extra={"unit": unit, "example": example})


class Section(BaseModel):
    """A table of the file: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
