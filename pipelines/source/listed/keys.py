"""`vectors:` of a list: where its vectors are, and the space that they are in."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from schemas.families import Modality
from schemas.strict import StrictModel


class VectorKeys(StrictModel):
    """Vectors that come with a list: of its pictures or sounds, of its captions, or of both."""

    npz: str | Mapping[Modality, str] | None = Field(
        None, description="array in the npz beside each file; or, by image, audio and text, one each"
    )
    column: str | Mapping[Modality, str] | None = Field(
        None, description="column of lists of numbers in the files; or one each, as for npz"
    )
    space: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/@+-]{0,99}$",
        description="a name for the space that they are in; or a key of `encode`, whose space they then have "
        "to be in",
    )

    @model_validator(mode="after")
    def _check_places(self) -> VectorKeys:
        if (self.npz is None) == (self.column is None):
            raise ValueError("vectors are in one of `npz` and `column`; give one of the two")
        if not self.npz and not self.column:
            raise ValueError("vectors are in no array; name one, as in `npz: l14_img`")
        return self

    def list_arrays(self, of: Modality) -> dict[Modality, str]:
        """Return the name of the array or column of each modality.

        Args:
            of: the modality of a name that is given alone.
        """
        given = self.npz if self.npz is not None else self.column
        return {of: given} if isinstance(given, str) else dict(given or {})
