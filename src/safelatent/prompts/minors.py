"""The rule that is never switched off: no image is made from words for minors combined with sexual
content.

``refused(text, categories)`` is the whole rule: a word for a minor, or an age below 18, and a
sexual word, in the text or among its categories. The rule errs towards refusing: *girl*, *young*,
*baby* and *school* count, whatever was meant, and so do the emoji of a girl, a boy, a baby and a
child. It reads English words through capitals, accents, full-width and other compatibility forms,
Cyrillic and Greek look-alikes, invisible characters, digits and signs for letters, punctuation
inside words, words spelt out letter by letter, and HTML's codes of characters, which some text
encoders decode. ``docs/prompts.md`` says what it cannot do.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence

_MINORS = """
child childs children childrens childhood childlike childish kid kids kiddie kiddies kiddo kiddos
toddler toddlers infant infants baby babies newborn newborns tot tots boy boys girl girls girlie
girlies girly lad lads lass lassie teen teens teenage teenaged teenager teenagers teenie preteen
preteens tween tweens adolescent adolescents adolescence minor minors underage underaged juvenile
juveniles young younger youngest youngster youngsters youth youths youthful prepubescent pubescent
puberty school schools schoolgirl schoolgirls schoolboy schoolboys schoolchild schoolchildren
schoolkid schoolkids schooler schoolers grader graders highschool highschooler highschoolers
middleschool middleschooler middleschoolers preschool preschooler preschoolers kindergarten daughter
daughters son sons stepdaughter stepson stepchild granddaughter grandson grandchild grandchildren
grandkid grandkids niece nephew loli lolis lolita lolitas lolicon shota shotas shotacon jailbait
"""
_SEXUAL = """
sexual sexually sexualised sexualized sexuality sex sexy sexier sexiest nude nudes nudity nudist
nudists nudism naked nakedness unclothed undress undressed undressing undresses disrobed disrobing
topless bottomless shirtless erotic erotica erotically eroticism porn porno pornos pornographic
pornography hentai ecchi nsfw xxx lewd lewdness lust lustful lusty lusting seductive seductively
seduction seduce seduces seducing sensual sensually sensuality provocative provocatively risque
suggestive intimate intimately intimacy arousal aroused arousing horny kink kinks kinky fetish
fetishes bdsm bondage dominatrix lingerie underwear panty panties undies bra bras braless thong
thongs bikini bikinis stockings negligee cleavage busty voluptuous breast breasts boob boobs boobies
tits nipple nipples genital genitals genitalia penis phallus phallic vagina vaginal vulva clitoris
buttock buttocks butt butts ass asses crotch groin upskirt intercourse orgasm orgasms orgasmic orgy
masturbate masturbates masturbating masturbation ejaculation semen fornication striptease stripper
strippers stripping prostitute prostitutes prostitution escort hooker hookers whore whores slut
sluts slutty brothel molest molests molested molesting molestation rape raped rapes raping rapist
incest incestuous pedo pedophile pedophiles pedophilia paedophile paedophiles paedophilia grooming
playboy onlyfans pinup
"""

_UNDER_18 = (
    "(?:0?[0-9]|1[0-7]|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    "|thirteen|fourteen|fifteen|sixteen|seventeen)"
)
_AGE = re.compile(
    rf"(?<![a-z0-9])(?:{_UNDER_18}\s*(?:years?|yrs?|y)\s*(?:of\s*age|old|o)?"
    rf"|{_UNDER_18}\s*months?\s*old|age[ds]?\s*(?:of\s*)?{_UNDER_18}"
    r"|(?:under|below|not\s*yet)\s*(?:the\s*)?(?:age\s*)?(?:of\s*)?(?:18|eighteen))(?![a-z0-9])"
)
# "2 0 years old", as tokenised collections write it, is 20; "3 2 year olds" are three of two years.
_SPLIT_NUMBER = re.compile(
    r"(?<![a-z0-9])([1-9]) ([0-9])(?= (?:years?|yrs?|y) (?:of age|old|o)(?![a-z0-9]))"
)

# A Latin letter, then letters of other scripts that look like it. Greek and Cyrillic capitals can
# look like another letter than their small form, so both are listed; compatibility decomposition
# covers the other alphabets.
_LOOK_ALIKES = """
a ΑАαаɑᴀ
b ΒВβвбьʙ
c СсᴄϹϲ
d δԁđᴅ
e ΕЕεеᴇ
f ϝꜰ
g ɡɢ
h ΗНһнħʜ
i ΙІιіıɩɪ
j ЈјᴊϳͿ
k ΚКκкᴋ
l łӏʟ
m ΜМмᴍ
n ΝηипŋɴП
o ΟОοоøσᴏ
p ΡРρрᴘ
q ԛ
r яʀ
s Ѕѕꜱ
t ΤТτтᴛ
u υμᴜ
v νѵʋᴠ
w Ԝωԝшщᴡ
x ΧХχх
y ΥУγуʏ
z Ζᴢ
"""
_TO_LATIN = {ord(other): row[0] for row in _LOOK_ALIKES.split("\n") if row for other in row[2:]}
_PICTURES = {
    0x1F466: " boy ",
    0x1F467: " girl ",
    0x1F476: " baby ",
    0x1F9D2: " child ",
}  # also within a family of joined pictures
_HIDDEN = {0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0}  # blank letters, which no category marks

# What the eye hardly distinguishes (i, l) is one letter in every reading, so that 1 and a capital I
# count as both.
_ALONE = str.maketrans({"l": "i"})
_DIGITS = _ALONE | str.maketrans("013456789", "oieasgtbg")
_SIGNS = _DIGITS | str.maketrans("@$!|+", "asiit")

_WORD = re.compile(r"[a-z]+")
_NO_WORD = re.compile(r"[^a-z0-9]+")
_MOST_PASSES = 4  # pipelines decode twice
_SPELT_OUT = re.compile(r"\b[a-z] +[a-z]\b")

_MINOR_WORDS = frozenset(_MINORS.translate(_ALONE).split())
_SEXUAL_WORDS = frozenset(_SEXUAL.translate(_ALONE).split())
_LONGEST = max(map(len, _MINOR_WORDS | _SEXUAL_WORDS))


def refused(text: str, categories: Iterable[str] = ()) -> bool:
    """Return whether the text and its categories combine minors with sexual content."""
    whole = " ".join((text, *categories))
    return _combined(_fold(whole)) or ("&" in whole and _combined(_fold(_decoded(whole))))


def _combined(folded: str) -> bool:
    words = _words(folded)
    return not words.isdisjoint(_SEXUAL_WORDS) and (
        not words.isdisjoint(_MINOR_WORDS) or _tells_age(folded)
    )


def _decoded(text: str) -> str:
    """Replace HTML's codes of characters, and codes of codes, deeper than any pipeline does."""
    for _ in range(_MOST_PASSES):
        text = html.unescape(text)
    return text


def _fold(text: str) -> str:
    """Replace all that looks like a Latin letter by its small form, and drop what is invisible."""
    if text.isascii():
        return text.lower()
    seen = "".join(c for c in unicodedata.normalize("NFKD", text) if not _is_hidden(c))
    return seen.translate(_PICTURES).translate(_TO_LATIN).lower().translate(_TO_LATIN)


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in ("Cf", "Mn", "Me") or ord(char) in _HIDDEN


def _words(folded: str) -> set[str]:
    plain = folded.rstrip(" .")
    if plain.isascii() and plain.replace(" ", "").isalpha() and not _SPELT_OUT.search(plain):
        return set(
            plain.replace("l", "i").split()
        )  # nothing but words: what a million captions are
    return _disguised(folded)


def _disguised(folded: str) -> set[str]:
    """Return the words of every reading: digits, or digits and signs, read as letters, and
    anything but letters within a word skipped.

    A number on its own is a number; a single digit may be a letter of a word that is spelt out.
    """
    found: set[str] = set()
    worded = " ".join(chunk for chunk in folded.split() if len(chunk) == 1 or _WORD.search(chunk))
    for table in (_ALONE, _DIGITS, _SIGNS):
        read = worded.translate(table)
        words = _WORD.findall(read)
        found.update(
            words, _spelt_out(words), ("".join(_WORD.findall(chunk)) for chunk in read.split())
        )
    return found


def _spelt_out(words: Sequence[str]) -> set[str]:
    """Return every word within a run of single letters: ``t e e n``."""
    runs = "".join(word if len(word) == 1 else " " for word in words).split()
    return {
        run[i:j]
        for run in runs
        for i in range(len(run))
        for j in range(i + 3, min(i + _LONGEST, len(run)) + 1)
    }


def _tells_age(folded: str) -> bool:
    spaced = _NO_WORD.sub(" ", folded)
    joined = " ".join(filter(None, (_NO_WORD.sub("", chunk) for chunk in folded.split())))
    return any(_AGE.search(_SPLIT_NUMBER.sub(r"\1\2", read)) for read in (spaced, joined))
