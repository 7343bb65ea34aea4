"""Does the classifier gain: metrics, intervals, contrasts, claims, all recomputed from predictions."""
