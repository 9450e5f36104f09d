"""The `lstmcast` command: options, screens, errors."""
