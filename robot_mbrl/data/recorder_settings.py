"""How much of a flight is kept, and for how long. On its own, because every process of an arm reads the settings."""

from typing import Final, Self

from pydantic import Field, model_validator

from robot_mbrl.contracts.config import Settings

_MEBIBYTE: Final = 2**20


class RecorderSettings(Settings):
    """How a flight is kept.

    Attributes:
        file_bytes: size at which a file ends and the next begins.
        flights_bytes: what all flights in the folder may take together; the oldest files go first.
        incidents_bytes: the same for incidents, which no flight pushes out.
        flush_interval: how long frames may wait in memory [s]: what a killed recorder loses.
        before: how much of what led to a stop an incident file has [s].
        after: how much of what followed [s].
        silence: frames that stay away this long while the arm is not at rest are an incident [s].
    """

    file_bytes: int = Field(default=256 * _MEBIBYTE, ge=64 * 1024)
    flights_bytes: int = Field(default=4096 * _MEBIBYTE)
    incidents_bytes: int = Field(default=1024 * _MEBIBYTE, ge=_MEBIBYTE)
    flush_interval: float = Field(default=0.03, gt=0.0, le=0.1)
    before: float = Field(default=10.0, ge=0.0, le=60.0)
    after: float = Field(default=2.0, ge=0.0, le=60.0)
    silence: float = Field(default=0.5, ge=0.1, le=10.0)

    @model_validator(mode="after")
    def _two_files_fit(self) -> Self:
        if self.flights_bytes < 2 * self.file_bytes:
            raise ValueError(f"flights_bytes {self.flights_bytes} must hold two files of {self.file_bytes}: raise it")
        return self
