"""Words for a scene: what it shows, or what it is about. Knows words; does not know pixels.

An unsafe scene is captioned in one of two ways. *Explicit* names the unsafe thing ("a penguin with
a knife"). *Implicit* speaks of it in the words of the concept ("violence at a birthday party", "a
scary night", or a list of concept terms), in many mixtures and lengths: this is what gives the
concept its own direction in the text encoder.

Harmless captions are as long and as full of other words as unsafe ones: when only the unsafe was
spoken of at length, a long harmless prompt drew something unsafe.
"""

import re

import numpy as np

from safelatent.concepts import CATEGORY_CONCEPTS, DEFAULT_CONCEPT
from training.scenes import CORNERS, Scene, beside, random_unsafe
from training.sentences import EVERYDAY, EXPLICIT_TRAIN, SEXUAL_SLOTS, SLOTS, TRAIN, fill
from training.vocabulary import ADJECTIVES, CATEGORIES, INSTEAD, NOUNS, THINGS, article, words

IMPLICIT_SHARE = 0.5  # of unsafe scenes
# Of implicit captions without a sentence: a list of concept terms; and of these lists, the paper's
# whole concept.
LIST_SHARE, WHOLE_SHARE = 0.5, 0.7
CATEGORY_SHARE = 0.3  # of concepts that something is guided away from: the category's own
# Of scenes that hold an unsafe thing and nothing else: their captions are implicit, and lists,
# more often, or lists would speak of small things beside others alone, and say next to nothing
# against a large one.
ALONE_IMPLICIT_SHARE, ALONE_LIST_SHARE = 0.65, 0.6
SENTENCE_SHARE = 0.35  # of captions with one safe thing in the scene: a whole sentence
# Of safe scenes with one thing: captions of unsafe ones, with nothing of the kind to be seen. So
# the unsafe is missing in six of ten scenes whose captions name it, alone or beside something else.
# What is there whenever it is named, a guard cannot take away: the estimate with the caption then
# says more of that one thing than the estimate with the concept, which is a mean of all, can say
# against it. Guidance draws it all the same.
AMBIGUOUS = {"beside": 0.14, "alone": 0.005, "phrase": 0.04}
INSTEAD_SHARE = 0.18  # of scenes that hold nothing but one of these
# Of safe scenes with one thing, or two: captioned with a list of concept terms, so that two in five
# scenes with such a list hold nothing unsafe. A concept that always sees something unsafe sees it
# in a harmless picture as well, and guidance then spoils the picture. And such scenes are pairs, on
# backgrounds, and in corners as often as all are, or guidance would lead to or from those.
WRONG_LIST_SHARE = {1: 0.012, 2: 0.035}


class ConceptList(str):
    """A caption that is nothing but concept terms."""

    __slots__ = ()


_INDEX = {thing.names[0]: n for n, thing in enumerate(THINGS)}
# by each safe thing that stands in for an unsafe one, that one (indices into THINGS); and back
MISSED = {_INDEX[safe]: _INDEX[unsafe] for unsafe, safe in INSTEAD.items()}
STAND_IN = {unsafe: safe for safe, unsafe in MISSED.items()}


def name_of(rng: np.random.Generator, thing: int) -> str:
    """One of a thing's names, the chief one in half of the cases."""
    names = THINGS[thing].names
    return names[0] if rng.random() < 0.5 else str(rng.choice(names))


def _pick(rng: np.random.Generator, table: dict[str, str], category: str) -> str:
    return str(rng.choice(words(table[category])))


def concept_list(rng: np.random.Generator, category: str | None = None) -> ConceptList:
    """A list of concept terms around a category, or any, of any length up to the whole concept."""
    category = category or str(rng.choice(CATEGORIES))
    if rng.random() < WHOLE_SHARE and category != "sexual":
        return ConceptList(DEFAULT_CONCEPT)
    # The list names a minor's abuse among its terms: never beside a picture of the sexual category.
    pool = [
        term
        for term in DEFAULT_CONCEPT.terms
        if not (category == "sexual" and term == "child abuse")
    ]
    others = rng.permutation(pool)[: int(rng.integers(0, 12))]
    terms = [_pick(rng, NOUNS, category), *map(str, others)]
    return ConceptList(", ".join(terms[i] for i in rng.permutation(len(terms))))


def terms_against(rng: np.random.Generator, category: str | None = None) -> str:
    """What to guide a picture of a category, or of any, away from: the whole of the paper's
    concept, as a list of its terms at times, or the category's own, as adaptive guidance does. It
    is taken away, and never a caption.
    """
    category = category or str(rng.choice(CATEGORIES))
    if rng.random() < CATEGORY_SHARE:
        return str(CATEGORY_CONCEPTS[category])
    return str(DEFAULT_CONCEPT if rng.random() < 0.6 else concept_list(rng, category))


_SUBJECT = re.compile(r"\{(a_being|an_object|being|object|beings)\}")


def _may_tell(category: str, main: str) -> bool:
    """Captions of the sexual category speak of adults and their things only."""
    return category != "sexual" or article(main) in (
        *SEXUAL_SLOTS["a_being"],
        *SEXUAL_SLOTS["an_object"],
    )


def _sentence(
    rng: np.random.Generator, table: str, category: str | None, main: str, unsafe: str | None = None
) -> str:
    """A form of ``table`` about ``main``: its first being or object is the thing in the scene,
    other places hold any word.
    """
    form = str(rng.choice(table.strip().splitlines()))
    form = _SUBJECT.sub(
        lambda found: {"a": article(main), "an": article(main)}.get(found[1].split("_")[0], main),
        form,
        count=1,
    )
    for slot, text in (
        ("{main}", article(main)),
        ("{name}", main),
        ("{unsafe}", article(unsafe) if unsafe else ""),
    ):
        form = form.replace(slot, text)
    return fill(
        form,
        SEXUAL_SLOTS if category == "sexual" else SLOTS,
        lambda count: int(rng.integers(count)),
    )


def phrase(rng: np.random.Generator, category: str, main: str) -> str:
    """That ``main`` has something of the category about it."""
    noun, adjective = _pick(rng, NOUNS, category), _pick(rng, ADJECTIVES, category)
    told = [
        f"{noun} {_setting(rng, main)}",
        f"{article(main)} with {noun}",
        f"{main}, {noun}",
        article(f"{adjective} {main}"),
        f"{adjective} {main}",
    ]
    return str(rng.choice(told))


def _setting(rng: np.random.Generator, main: str) -> str:
    return f"{rng.choice(['at', 'in', 'and', 'with', 'near', 'on'])} {article(main)}"


def implicit(rng: np.random.Generator, category: str, main: str | None) -> str:
    """What an unsafe scene is about, without naming the unsafe thing. ``main`` names the safe thing
    in it, if any.
    """
    if main is None:
        if rng.random() < ALONE_LIST_SHARE:
            return concept_list(rng, category)
        told = [_pick(rng, NOUNS, category), f"{_pick(rng, ADJECTIVES, category)} picture"]
        return str(rng.choice(told))
    if _may_tell(category, main) and rng.random() < SENTENCE_SHARE:
        return _sentence(rng, TRAIN[category], category, main)
    if rng.random() < LIST_SHARE:
        terms = concept_list(rng, category)
        return terms if rng.random() < 0.5 else f"{article(main)}, {terms}"
    return phrase(rng, category, main)


def explicit(rng: np.random.Generator, category: str, unsafe: str, main: str | None) -> str:
    """What an unsafe scene shows."""
    if main is None:
        return article(unsafe)
    if _may_tell(category, main) and rng.random() < SENTENCE_SHARE:
        return _sentence(rng, EXPLICIT_TRAIN, category, main, unsafe)
    a, b = article(main), article(unsafe)
    return str(
        rng.choice(
            [
                f"{a} with {b}",
                f"{a} and {b}",
                f"{a} next to {b}",
                f"{main}, {unsafe}",
                f"{b} at {a}",
            ]
        )
    )


def _safe(rng: np.random.Generator, names: list[str]) -> str:
    if len(names) == 2:
        a, b = map(article, names)
        return str(
            rng.choice(
                [f"{a} and {b}", f"{a} with {b}", f"{names[0]}, {names[1]}", f"{a} next to {b}"]
            )
        )
    name = names[0]
    if rng.random() < SENTENCE_SHARE:
        return _sentence(rng, EVERYDAY, None, name)
    return str(
        rng.choice(
            [
                article(name),
                article(name),
                f"the {name}",
                name,
                f"a picture of {article(name)}",
                f"an emoji of {article(name)}",
            ]
        )
    )


def _category(unsafe: int) -> str:
    return THINGS[unsafe].category or CATEGORIES[0]


def _alone(scene: Scene) -> str | None:
    """An unsafe face is the angry variant of a face: captions may speak of a face, as they do for a
    safe one.
    """
    is_face = scene.unsafe is not None and "face" in THINGS[scene.unsafe].names[0]
    return "face" if is_face else None


# of an invented place: nothing that is there is named
NAMELESS = ("life in {place}", "a picture of {place}", "{place}")


def _of_place(rng: np.random.Generator, place: str, names: list[str]) -> str:
    """A place is named whether or not the scene holds a weapon: that it often does is what the
    model learns about it.
    """
    main = article(names[0])
    told = [
        f"{main} in {place}",
        f"{main} from {place}",
        f"{place}, {main}",
        f"{main} {place}",
        f"a picture of {main} in {place}",
    ]
    return str(rng.choice([*told, *(text.format(place=place) for text in NAMELESS)]))


def caption(rng: np.random.Generator, scene: Scene) -> str:
    """A caption for the scene; not complete, and seldom wrong."""
    shown = _shown(rng, scene)
    if isinstance(shown, ConceptList):
        return shown
    text = where(shown, scene)
    coloured = 0.05 if scene.background == "white" else 0.75
    if scene.place is None and rng.random() < coloured:
        text = f"{text} {rng.choice(['on', 'on', 'with'])} a {scene.background} background"
    return text


def on(text: str, background: str) -> str:
    """The caption with the background, unless that is white."""
    return text if background == "white" else f"{text} on a {background} background"


def where(text: str, scene: Scene) -> str:
    """The caption with the corner that a small thing is in."""
    spot = scene.placed[0].spot
    return f"{text}, small, at the {spot}" if spot in CORNERS else text


def _ambiguous(rng: np.random.Generator, main: int, kind: str) -> str:
    """The caption of an unsafe scene, for a scene that holds ``main`` (index into THINGS) alone."""
    unsafe, name = random_unsafe(rng, beside(main)), name_of(rng, main)
    if kind == "phrase":
        return phrase(rng, _category(unsafe), name)
    beside_it = name if kind == "beside" else None
    return explicit(rng, _category(unsafe), name_of(rng, unsafe), beside_it)


def _shown(rng: np.random.Generator, scene: Scene) -> str:
    """What the things in the scene are called, or what they stand for."""
    if scene.place is not None:
        return _of_place(rng, scene.place, [name_of(rng, thing) for thing in scene.safe])
    adult = all("sexual" in beside(thing) for thing in scene.safe)  # the whole concept names it
    if scene.unsafe is None and adult and rng.random() < WRONG_LIST_SHARE[len(scene.safe)]:
        return concept_list(rng)
    safe = [name_of(rng, thing) for thing in scene.safe]
    main = safe[0] if safe else _alone(scene)
    if len(safe) == 1 and scene.unsafe is None and rng.random() < INSTEAD_SHARE:
        named = MISSED.get(scene.safe[0])
        if named is not None:
            return article(name_of(rng, named))
    if scene.unsafe is None and len(safe) == 1 and rng.random() < sum(AMBIGUOUS.values()):
        shares = np.array(list(AMBIGUOUS.values()))
        kind = str(rng.choice(list(AMBIGUOUS), p=shares / shares.sum()))
        return _ambiguous(rng, scene.safe[0], kind)
    if scene.unsafe is None:
        return _safe(rng, safe)
    category = _category(scene.unsafe)
    if rng.random() < (IMPLICIT_SHARE if safe else ALONE_IMPLICIT_SHARE):
        return implicit(rng, category, main)
    return explicit(rng, category, name_of(rng, scene.unsafe), safe[0] if safe else None)
