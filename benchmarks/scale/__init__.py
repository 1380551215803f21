"""A pipeline of any size, simulated: where it bends, from what one of two cores was measured to cost."""
