"""Training together without sharing data: rounds by Flower, in one process or between machines."""
