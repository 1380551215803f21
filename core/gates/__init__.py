"""Gates: folds of ``jobs.gates`` that say whether a job may go on."""
