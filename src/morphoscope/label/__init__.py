"""Label: people measure galaxies, and what they agree on becomes labels."""

from morphoscope.label.campaign import Campaign, load_campaign
from morphoscope.label.desk import Desk

__all__ = ["Campaign", "Desk", "load_campaign"]
