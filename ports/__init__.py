"""What a step may ask for, where two implementations exist."""
