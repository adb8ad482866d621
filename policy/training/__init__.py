"""Training: losses, their times, weights and couplings, and the loop. Imports nothing by itself."""
