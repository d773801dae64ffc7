"""The table of errors: what was found, what was expected, what to do."""

from __future__ import annotations

__all__ = [
    "ArchiveError",
    "BundleError",
    "CampaignError",
    "CatalogueError",
    "CheckpointError",
    "DiskSpaceError",
    "DownloadError",
    "EngineError",
    "ImageError",
    "LabelError",
    "MissingDependencyError",
    "MorphoscopeError",
    "OverloadError",
    "PersonError",
    "RecipeError",
    "RequestError",
    "ServiceError",
    "SourceError",
    "SplitError",
    "StageError",
    "StoreError",
    "StudyError",
    "TokenError",
    "TrainingError",
    "UnknownError",
    "VoteError",
    "WeightsError",
]


class MorphoscopeError(Exception):
    """Base of every error that Morphoscope raises on purpose.

    Parameters
    ----------
    found
        What was found, as a clause: ``"catalogue.csv has no column 'id'"``.
    expected
        What was expected, as a noun phrase; empty where ``found`` says it.
    do
        What the reader can do about it, as an imperative.
    **data
        Values that a program may want (paths, counts, names), kept in ``data``.
    """

    exit_code = 1

    def __init__(self, found: str, *, expected: str = "", do: str = "", **data: object) -> None:
        self.found = found
        self.expected = expected
        self.do = do
        self.data = data
        parts = [found]
        if expected:
            parts.append(f"expected {expected}")
        if do:
            parts.append(do)
        super().__init__("; ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.found, self.expected, self.do, self.data))


def _rebuild(
    kind: type[MorphoscopeError], found: str, expected: str, do: str, data: dict[str, object]
) -> MorphoscopeError:
    return kind(found, expected=expected, do=do, **data)


class RecipeError(MorphoscopeError, ValueError):
    """A recipe, or a ``--set``, is not valid."""

    exit_code = 2


class SourceError(MorphoscopeError, FileNotFoundError):
    """The data named as a source is absent, unreadable or not laid out as its kind."""


class CatalogueError(MorphoscopeError, ValueError):
    """A table lacks a column, has an unusable one, or cannot be read or written."""


class LabelError(MorphoscopeError, ValueError):
    """A label rule cannot be applied, or leaves a class without images."""


class DownloadError(MorphoscopeError, OSError):
    """A download did not arrive whole and true."""


class ArchiveError(MorphoscopeError, ValueError):
    """An archive is damaged or holds a member that must not be unpacked."""


class DiskSpaceError(MorphoscopeError, OSError):
    """The disk has, or would have, too little room."""


class ImageError(MorphoscopeError, ValueError):
    """One image cannot be used. ``reason`` is a single word for rejects and flags."""

    def __init__(
        self,
        found: str,
        *,
        reason: str = "unreadable",
        expected: str = "",
        do: str = "",
        **data: object,
    ) -> None:
        super().__init__(found, expected=expected, do=do, reason=reason, **data)
        self.reason = reason


class SplitError(MorphoscopeError, ValueError):
    """The catalogue cannot be split as asked."""


class StoreError(MorphoscopeError, ValueError):
    """An image store is incomplete, damaged or of another recipe."""


class CheckpointError(MorphoscopeError, ValueError):
    """A checkpoint is damaged or of another network."""


class WeightsError(MorphoscopeError, ValueError):
    """Weights to begin with are absent, damaged or of another network."""


class TrainingError(MorphoscopeError, ArithmeticError):
    """Training cannot go on: the loss is not a number, or the settings contradict."""


class StudyError(MorphoscopeError, ValueError):
    """A search cannot go on: its trials are of another one, out of reach, or have all failed."""


class BundleError(MorphoscopeError, ValueError):
    """A model bundle is absent, damaged or of an unknown format."""


class StageError(MorphoscopeError, RuntimeError):
    """A stage cannot run: an earlier one has not, or two processes want one run folder."""


class EngineError(MorphoscopeError, RuntimeError):
    """The engine lost its workers and could not finish."""


class RequestError(MorphoscopeError, ValueError):
    """What a person or a program asked a server cannot be answered."""


class TokenError(MorphoscopeError, PermissionError):
    """A server was asked for what needs a token, without one that it knows."""


class UnknownError(MorphoscopeError, LookupError):
    """A server has no model, answer, job or alarm of that name."""


class CampaignError(MorphoscopeError, ValueError):
    """A campaign of labelling is not valid, not set up, or of another task."""

    exit_code = 2


class VoteError(MorphoscopeError, ValueError):
    """A vote cannot be counted."""


class PersonError(MorphoscopeError, PermissionError):
    """Somebody may not do that in a campaign; ``code`` is one word for programs."""

    def __init__(
        self,
        found: str,
        *,
        code: str = "forbidden",
        expected: str = "",
        do: str = "",
        **data: object,
    ) -> None:
        super().__init__(found, expected=expected, do=do, code=code, **data)
        self.code = code


class OverloadError(MorphoscopeError, RuntimeError):
    """A server has more to do than it may keep waiting."""


class ServiceError(MorphoscopeError, OSError):
    """A survey's service did not give what it was asked for; ``code`` is one word for programs."""

    def __init__(
        self,
        found: str,
        *,
        code: str = "archive_away",
        expected: str = "",
        do: str = "",
        **data: object,
    ) -> None:
        super().__init__(found, expected=expected, do=do, code=code, **data)
        self.code = code


class MissingDependencyError(MorphoscopeError, ImportError):
    """An optional library is needed and not installed."""

    exit_code = 2
