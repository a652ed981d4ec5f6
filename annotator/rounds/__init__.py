"""The loop: rounds of choosing, proposing, correcting and training, step by step, written down in the journal."""
