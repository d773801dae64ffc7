"""Settings of the archives."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from morphoscope.serve.archives import ArchiveSettings
from morphoscope.serve.archives.addresses import checked_url, hosts_of, service_host


def test_each_setting_is_explained() -> None:
    for name, field in ArchiveSettings.model_fields.items():
        assert (field.description or "").endswith("."), name


def test_defaults_lead_to_the_internet_alone() -> None:
    settings = ArchiveSettings()
    assert settings.private_hosts == []
    for address in (settings.sdss, settings.legacy, settings.legacy_fits, settings.hips):
        assert address.startswith("https://")
        assert checked_url(address, hosts_of(settings.hosts))
    assert service_host(settings.sesame) == ("cds.unistra.fr", 443)


def test_they_are_read_from_toml() -> None:
    text = 'legacy = "http://mirror:8080/cut"\nprivate_hosts = ["mirror:8080"]\ntimeout_s = 5'
    assert ArchiveSettings(**tomllib.loads(text)).timeout_s == 5


@pytest.mark.parametrize(
    "change",
    [
        {"sdsss": "https://skyserver.sdss.org/"},
        {"sdss": "file:///etc/passwd"},
        {"sdss": "skyserver.sdss.org"},
        {"sdss": "https://user@skyserver.sdss.org/"},
        {"sdss": "https://skyserver.sdss.org/?a=b"},
        {"sdss": "https://skyserver.sdss.org:x/"},
        {"hosts": ["https://skyserver.sdss.org"]},
        {"hosts": ["*"]},
        {"private_hosts": ["localhost"]},
        {"private_hosts": ["localhost:0"]},
        {"hips_survey": "CDS/P/DSS2/color&width=99999"},
        {"legacy_layer": "ls dr9"},
        {"sesame_databases": "X"},
        {"pixels": 63},
        {"timeout_s": 0},
        {"retries": -1},
        {"retries": "3"},
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ArchiveSettings(**change)
