"""How the small base model is made (`make base`): photographs, scenes, captions, training, model card."""
