"""The stages, from nothing to the weights; each resumes where it was stopped."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from safelatent.models.clip_model import CLIP
from safelatent.models.load import EMBEDDED
from training.card import card_lines, trained_lines, write_card
from training.clip import train_clip
from training.clip_detectors import Workshop, make_detectors
from training.concepts import ConceptsStage
from training.device import Place
from training.ending import EndingStage
from training.fetch import fetch, fetch_sentence_encoder
from training.finish import FinishStage
from training.generator import GeneratorStage
from training.glyphs import Glyphs, glyphs
from training.guidance import GuidanceStage
from training.held_out_words import save_words
from training.judge import JUDGE, SECOND, train_judge
from training.latents import Latents, keep, latents, latents_of
from training.locating import LocatingStage
from training.loop import CHECKPOINT, Budget, train
from training.outlook import OutlookStage
from training.package import autoencoder, package, text_encoder_of, unet_of, whole_text_encoder
from training.place_words import PlaceWords, settle_places
from training.prepared import pack
from training.texts import POOL, TextPool, make_texts, read
from training.tokenizer import train_tokenizer
from training.tower import NamesStage, TowerStage
from training.vae import DecoderStage
from training.words import WordsStage
from training.world_moments import make_scene_moments

KNOWN = "model/text_encoder"  # of another world, where there is one: names begin from it
PREPARING = ("fetch", "tokenizer", "texts")
LEARNING = (
    "decoder", "names", "tower", "outlook", "generator", "guidance", "words", "concepts",
    "locating", "ending", "finish",
)  # fmt: skip
STAGES = (*PREPARING, *LEARNING, "places", "package", "clip", "judge", "witness")
# from finished weights: the rest stays valid
GOING_ON = (
    "fetch", "texts", "guidance", "words", "concepts", "locating", "ending", "finish", "places",
    "package",
)  # fmt: skip


def _decoder_stage(work: Path, place: Place) -> DecoderStage:
    return DecoderStage(glyphs(work).on(place), latents(work).on(place))


def _parts(work: Path, place: Place) -> tuple[CLIPTokenizer, TextPool, Glyphs, Latents]:
    tokenizer = CLIPTokenizer.from_pretrained(work / "model/tokenizer")
    return tokenizer, read(work / POOL), glyphs(work).on(place), latents(work).on(place)


def _names_stage(work: Path, place: Place) -> NamesStage:
    known = work / KNOWN
    return NamesStage(*_parts(work, place), known=known if known.exists() else None)


def _tower_stage(work: Path, place: Place) -> TowerStage:
    return TowerStage(*_parts(work, place), work / "names" / CHECKPOINT)


def _outlook_stage(work: Path, place: Place) -> OutlookStage:
    return OutlookStage(*_parts(work, place), work / "tower" / CHECKPOINT)


def _generator_stage(work: Path, place: Place) -> GeneratorStage:
    tokenizer, pool, drawings, found = _parts(work, place)
    return GeneratorStage(drawings, found, tokenizer, text_encoder_of(work), pool)


def _guidance_stage(work: Path, start: Path | None, place: Place) -> GuidanceStage:
    tokenizer, pool, drawings, found = _parts(work, place)
    before = start or work / "generator" / CHECKPOINT
    text_encoder = text_encoder_of(work, start)
    return GuidanceStage(drawings, found, tokenizer, text_encoder, pool, before)


def _finish_stage(work: Path, start: Path | None, place: Place, share: float) -> FinishStage:
    tokenizer, _, drawings, found = _parts(work, place)
    text_encoder, decoder = text_encoder_of(work, start), autoencoder(work, start).decoder
    unet = unet_of(work, start, share=share)
    return FinishStage(drawings, found, tokenizer, text_encoder, unet, decoder)


def _words_stage(work: Path, start: Path | None, place: Place, share: float) -> WordsStage:
    tokenizer, _, drawings, found = _parts(work, place)
    unet = unet_of(work, start, share=share)
    return WordsStage(drawings, found, tokenizer, text_encoder_of(work, start), unet)


def _concepts_stage(work: Path, start: Path | None, place: Place) -> ConceptsStage:
    tokenizer, pool, _, found = _parts(work, place)
    whole = whole_text_encoder(work, start)
    return ConceptsStage(found, tokenizer, whole, unet_of(work, start), pool, place)


def _locating_stage(work: Path, start: Path | None, place: Place) -> LocatingStage:
    tokenizer, pool, drawings, found = _parts(work, place)
    encoders = whole_text_encoder(work, start), text_encoder_of(work, start)
    unet = unet_of(work, start, ("guidance", "generator"))
    return LocatingStage(drawings, found, tokenizer, *encoders, pool, unet)


def _ending_stage(work: Path, start: Path | None, place: Place) -> EndingStage:
    tokenizer, pool, drawings, found = _parts(work, place)
    whole = whole_text_encoder(work, start)
    unet = unet_of(work, start, ("locating", "guidance", "generator"))
    return EndingStage(drawings, found, tokenizer, whole, whole, pool, unet)


def _prepare(stages: Sequence[str], work: Path, files: Sequence[Path]) -> None:
    packed = "prepare" in stages
    stages = PREPARING if packed else stages
    if "fetch" in stages:
        fetch(work)
        latents(work)
    if "tokenizer" in stages and not (work / "model/tokenizer/tokenizer.json").exists():
        train_tokenizer(work / "node_modules", work / "model/tokenizer")
    if "texts" in stages and not (work / POOL).exists():
        make_texts(work, files, fetch_sentence_encoder(work))
    if packed:
        pack(work)


def _learn(
    stages: Sequence[str],
    work: Path,
    budgets: dict[str, Budget],
    start: Path | None,
    place: Place,
    share: float,
) -> None:
    makers = {
        "decoder": partial(_decoder_stage, work, place),
        "names": partial(_names_stage, work, place),
        "tower": partial(_tower_stage, work, place),
        "outlook": partial(_outlook_stage, work, place),
        "generator": partial(_generator_stage, work, place),
        "guidance": partial(_guidance_stage, work, start, place),
        "words": partial(_words_stage, work, start, place, share),
        "concepts": partial(_concepts_stage, work, start, place),
        "locating": partial(_locating_stage, work, start, place),
        "ending": partial(_ending_stage, work, start, place),
        "finish": partial(_finish_stage, work, start, place, share),
    }
    wanted = [name for name in LEARNING if name in stages]
    if "outlook" in wanted and "i2p" not in read(work / POOL).captions:
        wanted.remove("outlook")
    for name in wanted:
        train(makers[name], work / name, budgets[name])


def _settle_places(work: Path, start: Path | None, place: Place, share: float) -> None:
    stage = _words_stage(work, start, place, share)
    settle_places(PlaceWords(stage.draw, stage.latents), work / "places")


def _detect(work: Path, budget: Budget, start: Path | None, place: Place, models: Path) -> None:
    """The CLIP beside the packaged text encoder, and the detectors and moments made with it."""
    pipeline, clip = models / EMBEDDED.name, models / CLIP.name
    beside = clip if start else None
    train_clip(work, budget, pipeline, clip, start=beside, place=place)
    shop = Workshop(work, clip, pipeline, place)
    make_detectors(shop)
    make_scene_moments(shop)


def run(
    stages: Sequence[str],
    work: Path,
    budgets: dict[str, Budget],
    start: Path | None = None,
    files: Sequence[Path] = (),
    place: Place | None = None,
    models: Path = EMBEDDED.parent,
    share: float = 1.0,
) -> None:
    """Run ``stages`` in their order below ``work``. Each resumes where it was stopped.

    The outlook is learnt where I2P's prompts are among the texts. With ``start``, a pipeline
    folder, the UNet trains on from its weights, and all else is taken from it: what was made beside
    its text encoder, the CLIP and the detectors, stays valid. Where words have learnt, it does not:
    the CLIP too trains on from the one that is there or, with no minutes, comes to stand beside the
    changed text encoder.

    Args:
        stages: names of stages, and "prepare".
        budgets: of each stage that learns.
        files: texts beyond WordNet's.
        place: where the stages compute; a CPU by default.
        models: the folder of the package's models, that the finished weights are written to.
        share: how far the finished UNet goes from that of ``start`` to the one trained on.
    """
    place = place or Place()
    if start is not None:  # the UNet trains on in words and latents that it knows
        shutil.copytree(start / "tokenizer", work / "model/tokenizer", dirs_exist_ok=True)
        keep(latents_of(AutoencoderKL.from_pretrained(start / "vae")), work)
    _prepare(stages, work, files)
    _learn(stages, work, budgets, start, place, share)
    if "places" in stages:
        _settle_places(work, start, place, share)
    if "package" in stages:
        package(work, models / EMBEDDED.name, start, share)
        if start is None and models == EMBEDDED.parent:  # the words are the package's too
            save_words(read(work / POOL).paraphrases)
    if "clip" in stages:
        _detect(work, budgets["clip"], start, place, models)
    for name, kind in (("judge", JUDGE), ("witness", SECOND)):
        if name in stages:
            train_judge(work, budgets[name], kind, models / f"judge/{name}.safetensors", place)
    finished = {"package", "clip", "judge", "witness"}
    if models == EMBEDDED.parent and not finished.isdisjoint(stages):
        before = card_lines("trained") if start else ()
        write_card("trained", trained_lines(work, before))
