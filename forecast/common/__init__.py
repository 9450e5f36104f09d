"""What every other package uses: errors, whole files, progress, resources, workers."""
