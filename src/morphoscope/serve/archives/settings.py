"""The settings of what is fetched from elsewhere: addresses, limits, the cache."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from morphoscope.recipe import Section
from morphoscope.serve.archives.addresses import host_entry, service_host

__all__ = ["ArchiveSettings"]


def _service(address: str) -> str:
    service_host(address)
    return address


def _host(entry: str) -> str:
    host_entry(entry)
    return entry


def _private_host(entry: str) -> str:
    if host_entry(entry)[1] is None:
        raise ValueError(f"{entry!r} names no port; expected HOST:PORT")
    return entry


Service = Annotated[str, AfterValidator(_service)]
Host = Annotated[str, AfterValidator(_host)]
PrivateHost = Annotated[str, AfterValidator(_private_host)]


class ArchiveSettings(Section):
    """Services of the surveys, and what may be fetched from them."""

    sdss: Service = Field(
        "https://skyserver.sdss.org/dr18/SkyServerWS/ImgCutout/getjpeg",
        description="Address of the cutout service of SDSS (ImgCutout).",
    )
    legacy: Service = Field(
        "https://www.legacysurvey.org/viewer/jpeg-cutout",
        description="Address of the Legacy Surveys' service for JPEG cutouts.",
    )
    legacy_fits: Service = Field(
        "https://www.legacysurvey.org/viewer/fits-cutout",
        description="Address of the Legacy Surveys' service for FITS cutouts.",
    )
    legacy_layer: str = Field(
        "ls-dr9", description="Layer of the Legacy Surveys.", pattern=r"^[\w.-]+$"
    )
    legacy_bands: str = Field(
        "grz", description="Bands of the Legacy Surveys.", pattern=r"^[a-zA-Z]+$"
    )
    hips: Service = Field(
        "https://alasky.cds.unistra.fr/hips-image-services/hips2fits",
        description="Address of a hips2fits service, which cuts out of any HiPS.",
    )
    hips_survey: str = Field(
        "CDS/P/DSS2/color",
        description="HiPS that survey `hips` means; for Pan-STARRS in colour "
        "`CDS/P/PanSTARRS/DR1/color-z-zg-g`.",
        pattern=r"^[\w./+-]+$",
    )
    sesame: Service = Field(
        "https://cds.unistra.fr/cgi-bin/nph-sesame",
        description="Address of the name resolver Sesame.",
    )
    sesame_databases: str = Field(
        "SNV",
        description="Databases that Sesame asks, in this order: S SIMBAD, N NED, V VizieR.",
        pattern=r"^[SNV]+$",
    )
    hosts: list[Host] = Field(
        [
            "skyserver.sdss.org",
            "data.sdss.org",
            "www.legacysurvey.org",
            "legacysurvey.org",
            "alasky.cds.unistra.fr",
            "ps1images.stsci.edu",
        ],
        description="Hosts whose images may be asked for by address, and to which a service may "
        "redirect: HOST (ports 80 and 443) or HOST:PORT.",
    )
    private_hosts: list[PrivateHost] = Field(
        [],
        description="HOST:PORT of mirrors that may have a private address. This alone does not "
        "allow them to be asked: they are named in an address above, or in `hosts`, too.",
    )
    pixels: int = Field(
        424, description="Side of a cutout, where nothing else is asked (pixels).", ge=64, le=2048
    )
    largest_arcmin: float = Field(
        30.0, description="Largest side of a cutout on the sky (arcmin).", gt=0.1, le=120
    )
    timeout_s: float = Field(
        20.0, description="Time after which one try is given up (seconds).", gt=0
    )
    total_s: float = Field(
        60.0, description="Time after which all tries are given up (seconds).", gt=0
    )
    retries: int = Field(
        3, description="Further tries after a failed one, where these may help.", ge=0, le=10
    )
    backoff_s: float = Field(
        0.5,
        description="Longest wait before the second try (seconds); doubled before each other.",
        gt=0,
    )
    longest_wait_s: float = Field(
        10.0,
        description="Longest wait that a service may ask for by Retry-After (seconds); where it "
        "asks for more, the person is told.",
        ge=0,
    )
    at_once: int = Field(
        4, description="Requests that one service is sent at the same time.", ge=1, le=64
    )
    largest_bytes: int = Field(
        30_000_000, description="Largest file that is fetched, unpacked (bytes).", ge=1000
    )
    cache_days: float = Field(
        30.0, description="Days that a fetched cutout or position is used again; 0: none is.", ge=0
    )
    cache_bytes: int = Field(
        2_000_000_000, description="Room of the cache on disk (bytes); the oldest leave.", ge=0
    )
