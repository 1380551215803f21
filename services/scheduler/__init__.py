"""Scheduler: may it run now."""
