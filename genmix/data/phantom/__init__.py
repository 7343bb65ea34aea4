"""The simulator: phantoms of focal liver lesions in CT."""
