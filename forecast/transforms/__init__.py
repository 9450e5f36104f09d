"""From a panel to what a network reads: scaling, windows, covariates, calendar."""
