"""The REST API: thin routes round the service."""

from morphoscope.serve.api import asks, campaigns, coordination, jobs, kept, state
from morphoscope.serve.api.problems import problem_of, register

__all__ = ["ROUTERS", "problem_of", "register"]

ROUTERS = (
    asks.router,
    jobs.router,
    kept.router,
    state.router,
    campaigns.router,
    coordination.router,
)
