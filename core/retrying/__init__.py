"""When to try again, and when to stop: a hazard of recovery, and a dynamic program over it."""
