"""Fitness: may a model be used on a new survey, and how many labels would tell?"""

from morphoscope.fitness.check import fitness

__all__ = ["fitness"]
