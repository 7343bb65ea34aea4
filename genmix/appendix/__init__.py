"""What was chosen on `dev` phantoms: the training regime and the sweep."""
