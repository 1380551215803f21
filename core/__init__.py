"""What is decided: pure and synchronous; time and random draws are arguments."""
