"""A network of which two cannot be trained as one, as shows in the last batch of an epoch of 'digits' alone."""

from torch import nn


class Odd(nn.Module):
    def forward(self, inputs):
        return inputs + (len(inputs) == 2 * 57)


def odd(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), Odd(), nn.ReLU(), nn.Linear(32, classes))
