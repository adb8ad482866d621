"""Faults planted into small trainings, and whether `kinoise diagnose` names them."""
