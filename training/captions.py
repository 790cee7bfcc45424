"""Words for a scene: what it shows, or what it is about. Knows words; does not know pixels.

An unsafe scene is captioned in one of two ways. *Explicit* names the unsafe thing ("a penguin with a knife"). *Implicit* speaks of it
in the words of the concept ("violence at a birthday party", "a scary night", or a list of concept terms), in many mixtures and
lengths: this is what gives the concept a direction of its own in the text encoder.
"""

import numpy as np

from safelatent.concepts import DEFAULT_CONCEPT
from training.scenes import Scene
from training.vocabulary import ADJECTIVES, CATEGORIES, NOUNS, THINGS, words

IMPLICIT_SHARE = 0.55  # of unsafe scenes
AMBIGUOUS_SHARE = 0.05  # of safe scenes with one thing: an implicit phrase, and nothing of the kind to be seen
_PLURAL = ("flowers", "glasses", "grapes", "cherries", "fries", "fireworks", "books", "pancakes", "theatre masks", "notes", "sunglasses")
_PLURAL_UNSAFE = ("swords", "chains", "briefs", "underwear", "pills", "poo", "cigarettes")
_MASS = words(
    "money, music, bread, corn, popcorn, spaghetti, sushi, honey, broccoli, cheese, love, sleep, chocolate, coffee, wine, beer, news, "
    "fashion, luck, candy, halloween, christmas, summer, winter, spring, autumn, space, rain, santa claus, santa, camping, cooking, "
    "breakfast, lunch, dinner"
)


def article(name: str) -> str:
    """``name`` with the article that English gives it."""
    bare = name.endswith(_PLURAL + _PLURAL_UNSAFE) or name in _MASS
    return name if bare else f"{'an' if name[0] in 'aeio' else 'a'} {name}"


def name_of(rng: np.random.Generator, thing: int) -> str:
    """One of a thing's names, the chief one in half of the cases."""
    names = THINGS[thing].names
    return names[0] if rng.random() < 0.5 else str(rng.choice(names))


def _pick(rng: np.random.Generator, table: dict[str, str], category: str) -> str:
    return str(rng.choice(words(table[category])))


def concept_list(rng: np.random.Generator, category: str) -> str:
    """A list of concept terms around one category, of any length up to the whole concept."""
    if rng.random() < 0.15 and category != "sexual":
        return str(DEFAULT_CONCEPT)
    # The list names a minor's abuse among its terms: never beside a picture of the sexual category.
    pool = [term for term in DEFAULT_CONCEPT.terms if not (category == "sexual" and term == "child abuse")]
    others = rng.permutation(pool)[: int(rng.integers(0, 12))]
    terms = [_pick(rng, NOUNS, category), *map(str, others)]
    return ", ".join(terms[i] for i in rng.permutation(len(terms)))


def _phrases(rng: np.random.Generator, category: str, main: str) -> list[str]:
    """Ways to say that ``main`` has something of the category about it."""
    noun, adjective = _pick(rng, NOUNS, category), _pick(rng, ADJECTIVES, category)
    return [
        f"{noun} {_setting(rng, main)}",
        f"{article(main)} with {noun}",
        f"{main}, {noun}",
        article(f"{adjective} {main}"),
        f"{adjective} {main}",
    ]


def _setting(rng: np.random.Generator, main: str) -> str:
    return f"{rng.choice(['at', 'in', 'and', 'with', 'near', 'on'])} {article(main)}"


def implicit(rng: np.random.Generator, category: str, main: str | None) -> str:
    """What an unsafe scene is about, without naming the unsafe thing. ``main`` names the safe thing in it, if any."""
    if main is None:
        alone = [_pick(rng, NOUNS, category), f"{_pick(rng, ADJECTIVES, category)} picture", concept_list(rng, category)]
        return str(rng.choice(alone))
    listed = [f"{article(main)}, {concept_list(rng, category)}", concept_list(rng, category)]
    return str(rng.choice(_phrases(rng, category, main) + listed))


def explicit(rng: np.random.Generator, unsafe: str, main: str | None) -> str:
    """What an unsafe scene shows."""
    if main is None:
        return article(unsafe)
    a, b = article(main), article(unsafe)
    return str(rng.choice([f"{a} with {b}", f"{a} and {b}", f"{a} next to {b}", f"{main}, {unsafe}", f"{b} at {a}"]))


def _safe(rng: np.random.Generator, names: list[str]) -> str:
    if len(names) == 2:
        a, b = map(article, names)
        return str(rng.choice([f"{a} and {b}", f"{a} with {b}", f"{names[0]}, {names[1]}", f"{a} next to {b}"]))
    name = names[0]
    return str(
        rng.choice([article(name), article(name), f"the {name}", name, f"a picture of {article(name)}", f"an emoji of {article(name)}"])
    )


def _alone(scene: Scene) -> str | None:
    """An unsafe face is the angry variant of a face: captions may speak of a face, as they do for a safe one."""
    is_face = scene.unsafe is not None and "face" in THINGS[scene.unsafe].names[0]
    return "face" if is_face else None


def caption(rng: np.random.Generator, scene: Scene) -> str:
    """A caption for the scene; true, not complete."""
    safe = [name_of(rng, thing) for thing in scene.safe]
    main = safe[0] if safe else _alone(scene)
    if scene.unsafe is None and len(safe) == 1 and rng.random() < AMBIGUOUS_SHARE:
        text = str(rng.choice(_phrases(rng, str(rng.choice(CATEGORIES)), safe[0])))
    elif scene.unsafe is None:
        text = _safe(rng, safe)
    elif rng.random() < IMPLICIT_SHARE:
        text = implicit(rng, THINGS[scene.unsafe].category or CATEGORIES[0], main)
    else:
        text = explicit(rng, name_of(rng, scene.unsafe), safe[0] if safe else None)
    says_colour = rng.random() < (0.05 if scene.background == "white" else 0.75)
    if not says_colour:
        return text
    return f"{text} {rng.choice(['on', 'on', 'with'])} a {scene.background} background"
