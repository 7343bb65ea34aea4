"""What was measured on `dev` phantoms: the training regime, the sweep, the generators' controls."""
