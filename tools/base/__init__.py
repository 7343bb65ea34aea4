"""How the small base model is made (`make base`): pictures, scenes, captions, training, model card."""
