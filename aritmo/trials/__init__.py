"""Experiments that compare: many small models, alike in all but one thing, on the same problems."""
