"""Kafka, Postgres and the services on one machine, under one supervisor."""
