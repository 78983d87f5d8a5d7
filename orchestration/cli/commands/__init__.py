"""What can be typed: arguments, options and help. The work is imported when a command runs, so that help is instant."""
