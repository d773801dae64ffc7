"""The stages as a workflow of another system: its description, and the command that a job runs."""

from morphoscope.workflow.export import FORMATS, export_workflow
from morphoscope.workflow.pegasus import Site
from morphoscope.workflow.step import run_step

__all__ = ["FORMATS", "Site", "export_workflow", "run_step"]
