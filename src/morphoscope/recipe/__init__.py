"""A recipe: every setting of one experiment, read from TOML and validated.

Order of precedence: the defaults below, then the recipe file, then ``--set section.key=value``.
The descriptions here are the only place where a setting is explained; ``--help`` and the
documentation are made from them.
"""

from morphoscope.recipe.data import (
    AcquireSettings,
    ClassRule,
    CleanSettings,
    Download,
    DropRule,
    MoreImages,
    PrepareSettings,
    SimulateSettings,
    SplitSettings,
)
from morphoscope.recipe.engine import EngineSettings, Resources, load_engine
from morphoscope.recipe.experiment import Recipe, changed, load_recipe, named_paths
from morphoscope.recipe.model import (
    AugmentSettings,
    BalanceSettings,
    EvaluateSettings,
    ExportSettings,
    LabelProperty,
    TrainSettings,
)
from morphoscope.recipe.section import Section
from morphoscope.recipe.study import CompareSettings, SearchSettings, Span, Variant

__all__ = [
    "AcquireSettings",
    "AugmentSettings",
    "BalanceSettings",
    "ClassRule",
    "CleanSettings",
    "CompareSettings",
    "Download",
    "DropRule",
    "EngineSettings",
    "EvaluateSettings",
    "ExportSettings",
    "LabelProperty",
    "MoreImages",
    "PrepareSettings",
    "Recipe",
    "Resources",
    "SearchSettings",
    "Section",
    "SimulateSettings",
    "Span",
    "SplitSettings",
    "TrainSettings",
    "Variant",
    "changed",
    "load_engine",
    "load_recipe",
    "named_paths",
]
