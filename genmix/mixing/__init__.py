"""The method of the paper:

mixing rules, the arms of the study, what their batches carry, the stored GenMix set.
"""
