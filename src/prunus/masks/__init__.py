"""Which weights stay: masks as values, which parameters they may cover, holding them during training."""
