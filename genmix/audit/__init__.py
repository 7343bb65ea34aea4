"""Is the generator any good: fidelity, diversity, memorisation, usefulness, each beside real lesions."""
