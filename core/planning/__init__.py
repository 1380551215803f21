"""Capacity: what a rate of jobs needs, from what jobs were measured to cost."""
