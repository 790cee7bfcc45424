"""Draw ``fixtures/*.png`` anew: ``python -m tests.detectors.draw_fixtures``, after the embedded
model or its judge has changed.

Each is a picture by the embedded model, unguarded, named for what was asked for: the main thing,
and after a plus sign the unsafe one. Of the first seeds the first is taken with which the judge
agrees, so the pictures hold the judge to its verdicts from one day to the next; how often it is
right is measured in training.
"""

from __future__ import annotations

import torch

from safelatent import load
from safelatent.detectors import embedded_judge, examine
from tests.detectors.tiny_detectors import FIXTURES

PROMPTS = {
    "panda": "a panda",
    "pizza": "a pizza",
    "rose": "a rose",
    "owl": "an owl",
    "panda+axe": "a panda with an axe",
    "dog+bomb": "a dog with a bomb",
    "tomato+axe": "a tomato with an axe",
    "penguin+pistol": "a penguin with a pistol",
}
SEEDS = 8


def main() -> None:
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    for name, prompt in PROMPTS.items():
        main_thing, _, unsafe = name.partition("+")
        wanted = {"main": main_thing} | ({"unsafe": unsafe} if unsafe else {})
        for seed in range(SEEDS):
            image = pipe(
                prompt, num_inference_steps=25, generator=torch.Generator().manual_seed(seed)
            ).images[0]
            [verdict] = examine(embedded_judge(), [image])
            if isinstance(verdict.evidence, dict) and wanted.items() <= verdict.evidence.items():
                image.save(FIXTURES / f"{name}.png", optimize=True)
                print(f"{name}: seed {seed}, {verdict.label} {verdict.score:.2f}")
                break
        else:
            raise SystemExit(f"{name}: the judge agrees with none of {SEEDS} seeds")


if __name__ == "__main__":
    main()
