"""What runs in the peers' own environment; of Penstock, only ``penstock_app`` knows."""
