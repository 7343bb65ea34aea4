"""Image sets of your own: folders, MedMNIST, CT volumes with masks."""
