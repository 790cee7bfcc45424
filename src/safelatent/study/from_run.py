"""From a run to a study: every pair of images from the same noise by two of the methods.

The images are copied without their metadata, which names the method, and under names that only the
study's key can make.
"""

from __future__ import annotations

import hashlib
import io
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from safelatent.detectors.images import open_image
from safelatent.errors import BadValueError
from safelatent.generation.methods import Method
from safelatent.prompts import CATEGORIES
from safelatent.runs.folder import database_file, lock
from safelatent.runs.read import ResultRow, Run, read_run
from safelatent.storage import check_target_folder, place, write_whole
from safelatent.study.database import check_free
from safelatent.study.folder import (
    IMAGES,
    PLAN,
    Study,
    cannot_write,
    write_study,
)
from safelatent.study.plan import ImagePair, StudySettings
from safelatent.study.store import bind
from safelatent.text import squeezed

TOXIC = 0.5  # of a prompt's published toxicity, from which its images are blurred


def create(
    run: str | Path,
    settings: StudySettings,
    out: str | Path,
    *,
    images: int | None = None,
    limit: int | None = None,
    database: str | None = None,
) -> Study:
    """Make a study of a run, finished or not, and its empty database.

    Args:
        run: the run's folder.
        settings: what the study asks.
        out: the study's folder.
        images: only the first so many images of each prompt; None takes all.
        limit: only the first so many prompts; None takes all.
        database: address of a PostgreSQL database; None makes SQLite in the study's folder.

    Raises:
        BadValueError: there is no run, it has no such methods or no pair, a study or a run is in
            ``out``, or the database is no PostgreSQL address or another study's.
        RunError: the run is damaged, or another process makes a study in ``out``.
        StudyError: the folder cannot be written, or the database cannot be reached.
        UnsupportedError: the extra ``study`` is not installed.
    """
    folder = place(out, "out")
    _check_counts(images=images, limit=limit)
    _check_new(folder)
    check_free(folder, database)
    read = read_run(run)
    absent = [method for method in settings.methods if method not in read.settings.methods]
    if absent:
        raise BadValueError(
            f"the run in {str(run)!r} has no images by {', '.join(absent)}; it has"
            f" {', '.join(read.settings.methods)}: choose among them, or add the method with"
            " `safelatent bench run --methods`"
        )
    kept = {prompt.id for prompt in read.prompts[:limit]}
    groups = list(_groups(read, settings.methods, kept, images))
    _check_pairs(read, settings, groups)  # before there is a folder
    _make(folder)
    with lock(folder):  # of two commands, one makes the study
        _check_new(folder)
        key, left_out = secrets.token_hex(32), Counter[str]()
        comparisons = _copied(read, groups, settings, folder, key, left_out)
        study = Study(
            folder=folder,
            settings=settings,
            comparisons=comparisons,
            source=_source(read),
            left_out=dict(left_out),
            key=key,
            database=database,
        )
        write_study(study)
        bind(study)
    return study


def _check_new(folder: Path) -> None:
    check_target_folder(folder)
    if (folder / PLAN).exists():
        raise BadValueError(f"{str(folder)!r} holds a study already; name another --out")
    if database_file(folder).exists():
        raise BadValueError(f"{str(folder)!r} holds a run; name another --out for the study")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _check_pairs(
    run: Run, settings: StudySettings, groups: Sequence[Mapping[Method, ResultRow]]
) -> None:
    """Refuse a run in which no pair has both of its images.

    Raises:
        BadValueError: saying why there is none.
    """
    pairs = [
        _lacking(rows.get(one)) or _lacking(rows.get(other))
        for rows in groups
        for one, other in combinations(settings.methods, 2)
    ]
    if all(pairs):
        raise _no_pair(run, settings, Counter(pairs))


def _no_pair(run: Run, settings: StudySettings, left_out: Counter[str]) -> BadValueError:
    why = "; ".join(f"{count} {reason}" for reason, count in left_out.items()) or "no images"
    return BadValueError(
        f"the run in {str(run.folder)!r} has no pair of images from the same noise by"
        f" {' and '.join(settings.methods)} ({why}); let `safelatent bench run` finish more, or"
        " draw deleted images again with --redraw-missing"
    )


def _copied(
    run: Run,
    groups: Sequence[Mapping[Method, ResultRow]],
    settings: StudySettings,
    folder: Path,
    key: str,
    left_out: Counter[str],
) -> tuple[ImagePair, ...]:
    """Copy the images of every pair; returns the pairs, and counts in ``left_out`` those that the
    run cannot give.
    """
    found: list[ImagePair] = []
    for rows in groups:
        copies = {method: _copy(rows.get(method), folder, key) for method in settings.methods}
        for one, other in combinations(settings.methods, 2):
            reasons = [copies[method][1] for method in (one, other) if copies[method][1]]
            if reasons:
                left_out[reasons[0]] += 1
                continue
            row = rows[one]
            found.append(
                ImagePair(
                    prompt=row.prompt.text,
                    prompt_id=row.prompt.id,
                    categories=row.prompt.categories,
                    image=row.image,
                    methods=(one, other),
                    pictures=(copies[one][0], copies[other][0]),
                    blurred=_unsafe(rows[one]) or _unsafe(rows[other]),
                )
            )
    if not found:
        raise _no_pair(run, settings, left_out)
    return tuple(found)


def _groups(
    run: Run, methods: Sequence[Method], prompts: set[str], images: int | None
) -> Iterator[Mapping[Method, ResultRow]]:
    """Yield the rows of each prompt and noise, by method."""
    groups: dict[tuple[str, int], dict[Method, ResultRow]] = {}
    for row in run.rows:
        wanted = row.method in methods and row.prompt.id in prompts
        if wanted and (images is None or row.image < images):
            groups.setdefault((row.prompt.id, row.image), {})[row.method] = row
    yield from groups.values()


def _copy(row: ResultRow | None, folder: Path, key: str) -> tuple[str, str]:
    """Copy a row's image; returns its name, and why there is none, either of which is empty."""
    reason = _lacking(row)
    if row is None or row.file is None or reason:
        return "", reason
    try:
        picture = open_image(row.file)
    except BadValueError:
        return "", "whose image cannot be read"
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    name = hashlib.blake2b(row.key.encode(), key=bytes.fromhex(key), digest_size=16).hexdigest()
    try:
        write_whole(folder / IMAGES / f"{name}.png", encoded.getvalue())
    except OSError as error:
        raise cannot_write(folder, error) from error
    return name, ""


def _lacking(row: ResultRow | None) -> str:
    """Return why a row has no image to copy; nothing if it has one."""
    if row is None:
        return "not drawn by both methods yet"
    if not row.has_image:
        return "without an image by one of the methods"
    return "" if row.file is not None else "whose image was deleted from the run"


def _unsafe(row: ResultRow) -> bool:
    """Return whether an image may disturb: it was not judged safe, or its prompt is about one of
    I2P's categories, hard, or toxic.
    """
    prompt = row.prompt
    return (
        row.label != "safe"
        or any(name in CATEGORIES for name in prompt.categories)
        or bool(prompt.hard)
        or (prompt.toxicity or 0) >= TOXIC
    )


def _source(run: Run) -> dict[str, str]:
    """Return what the images are of, in words."""
    s = run.settings
    return {
        "run": str(run.folder),
        "model": s.model,
        "model files, sha256": s.model_digest,
        "prompts": squeezed(s.prompts),
        "prompts, sha256": s.prompts_digest,
        "steps": str(s.steps),
        "protocol": f"{s.protocol}, {s.protocol_hash}",
        "concept": s.concept,
    }


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and (type(value) is not int or value < 1):
            raise BadValueError(f"{name} is {value!r}; it must be a whole number from 1")
