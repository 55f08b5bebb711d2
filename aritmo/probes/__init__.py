"""Probes: what a language model knows of numbers as it is, asked by a few worked examples and judged exactly."""
