"""What competes for the same budget. Free of torch."""

SCOPES = {
    "global": "All tensors compete for the same budget.",
    "layer": "Every tensor gets the same sparsity.",
}
