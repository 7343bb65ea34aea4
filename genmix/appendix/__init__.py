"""What was measured on `dev` phantoms: the training regime, the map, tuning, the generators' controls."""
