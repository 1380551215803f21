"""Trainer: what have we learned? Makes models of what became of jobs, and says which of them orders."""
