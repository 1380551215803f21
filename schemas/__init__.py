"""What travels: one message a file, and the route map in ``topics.py``."""
