"""Recipes: what trained the shipped models, from nothing, each under the name of its model."""

RECIPES = ("adder", "tutor", "squares")
"""The recipes by name, in the order in which help shows them."""

NOT_ASKED = -100
"""The label of a place where nothing is asked."""
