"""The delivery law: verdicts, and the one fold that says which of them hold."""
