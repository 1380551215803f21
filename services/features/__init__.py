"""Features: what are jobs like? Folds outcomes into what is known of tenants and types."""
