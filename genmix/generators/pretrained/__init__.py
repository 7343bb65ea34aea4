"""The small pretrained base model that ships with the package, and its networks."""
