"""Kafka, through aiokafka: appending, reading, sharing partitions, topics and the broker's clock."""
