"""The classifier of the paper, VGG-16: network, training, trials."""
