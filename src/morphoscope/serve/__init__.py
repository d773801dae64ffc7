"""Serve: models kept warm behind a web page and a REST API."""

from morphoscope.serve.run import serve
from morphoscope.serve.settings import ServeSettings, load_settings

__all__ = ["ServeSettings", "load_settings", "serve"]
