"""The dlq_handler: it failed, what now; and is its executor alive."""
