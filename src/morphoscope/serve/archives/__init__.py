"""Archives: cutouts and positions from the services of the surveys, fetched safely."""

from morphoscope.serve.archives.cutouts import STATUS_OF_CODE, Archives, Cutout
from morphoscope.serve.archives.names import NamedPlace
from morphoscope.serve.archives.settings import ArchiveSettings
from morphoscope.serve.archives.surveys import AUTO, SURVEYS

__all__ = [
    "AUTO",
    "STATUS_OF_CODE",
    "SURVEYS",
    "ArchiveSettings",
    "Archives",
    "Cutout",
    "NamedPlace",
]
