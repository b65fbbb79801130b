"""Figures of a model over a data set."""
