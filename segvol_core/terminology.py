"""The codes by which Slicer and DICOM segmentations say what a structure is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A code of a coding scheme, for instance SCT (SNOMED CT), 64033007, Kidney."""

    scheme: str
    value: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.scheme}^{self.value}^{self.meaning}"


@dataclass(frozen=True)
class Terminology:
    """What a structure is, in the codes that Slicer and DICOM segmentations use.

    `context` names the list the type comes from: one of Slicer's two, or that of its
    TotalSegmentator extension where Slicer has no such structure.
    """

    context: str
    category: Code
    type: Code
    modifier: Code | None
    region_context: str
    region: Code | None
    region_modifier: Code | None

    def entry(self) -> str:
        """Return the text of a segment's `TerminologyEntry` tag.

        The format is that of `vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry`.
        """
        codes = (self.modifier, self.region, self.region_modifier)
        modifier, region, region_modifier = ("^^" if code is None else str(code) for code in codes)
        parts = (self.context, str(self.category), str(self.type), modifier)
        return "~".join((*parts, self.region_context, region, region_modifier))
