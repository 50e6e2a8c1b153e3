"""What every other room stands on: settings, errors, logging."""
