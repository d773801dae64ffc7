"""Log lines as JSON, one a line: no image, no name of a file, and no address unless asked for."""

from __future__ import annotations

import datetime
import json
import logging
import sys

__all__ = ["open_log"]

# What every record has; the rest is what was said of it.
USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        said = {key: value for key, value in vars(record).items() if key not in USUAL}
        line |= {key: value for key, value in said.items() if key != "color_message"}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def open_log() -> None:
    """Send what the server and uvicorn say to stderr, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name in ("morphoscope.serve", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
    # Its lines hold addresses; requests are told by the server itself.
    logging.getLogger("uvicorn.access").disabled = True
