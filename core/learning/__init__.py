"""What is learned from outcomes: events, their seconds, aggregates of keys, features, order."""
