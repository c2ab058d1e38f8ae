"""Real handwritten digits as text: of 25 pixels, a small transformer foretells each from those before."""

from prunus.tasks.load import load_data
from prunus.tasks.models.gpt import GPT
from prunus.tasks.task import Data, Examples, Task

GREYS = 17


def rows(examples):
    inputs = examples.inputs.flatten(1)
    greys = (inputs - inputs.min()) / (inputs.max() - inputs.min()) * (GREYS - 1)
    pixels = greys[:300, 16:41].round().long()
    return Examples(pixels[:, :-1], pixels[:, 1:])


def task():
    splits = [rows(split) for split in load_data("digits").splits().values()]
    data = Data("pixels", *splits, class_names=tuple(map(str, range(GREYS))))
    return Task("pixels", data, lambda: GPT(GREYS, 24, 32, 2, 4))
