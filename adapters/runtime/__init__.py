"""What every service process does alike: settings, start, signals, stop."""
