"""Is the generator any good: usefulness, fidelity, diversity, copies, each beside real lesions."""
