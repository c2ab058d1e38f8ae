"""The section on lottery tickets: verdicts, learning curves, agreement, and pictures of the masks. Free of torch."""
