"""Options about where an image comes from, for ``generate`` and ``verify``, and the seal that they
describe.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safelatent.cli.options import check_choice, check_place
from safelatent.errors import BadValueError

if TYPE_CHECKING:
    from safelatent.provenance.audit_log import AuditLog
    from safelatent.provenance.certificate import Signer
    from safelatent.provenance.marks import Watermark
    from safelatent.provenance.seal import Seal

Sign = Annotated[
    bool,
    typer.Option(
        "--sign",
        help="Sign the images (C2PA). Without --certificate it is a test certificate, which does"
        " not say who signed.",
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(help="Sign with this certificate (PEM), its authorities' after it."),
]
Key = Annotated[
    Path | None,
    typer.Option(help="Sign with this private key of --certificate (PEM, not encrypted)."),
]
Timestamp = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Get a time stamp from this authority (RFC 3161)."),
]
Provider = Annotated[
    str | None, typer.Option(help="Name who offers the system, in every image's metadata.")
]
System = Annotated[
    str | None,
    typer.Option(
        metavar="'NAME VERSION'",
        help="Name the system, in every image's metadata. Default: safelatent and its version.",
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(help="Append an entry per image to this audit log before the image is written."),
]
LogKey = Annotated[
    Path | None,
    typer.Option(
        help="Hash prompts in the log with the secret key in this file, which is made if it is"
        " missing. Default: the log's name with .key."
    ),
]
LogPrompts = Annotated[
    bool, typer.Option("--log-prompts", help="Log prompts as they are, and not their hashes.")
]
Watermarking = Annotated[
    str | None,
    typer.Option(
        "--watermark",
        help="Put the image's id into the picture, invisibly: trustmark (which must be installed).",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Sealing:
    """The options of ``generate``, as given."""

    sign: bool
    certificate: Path | None
    key: Path | None
    timestamp: str | None
    provider: str | None
    system: str | None
    log: Path | None
    log_key: Path | None
    log_prompts: bool
    watermark: str | None

    def check(self, *, sheets: bool) -> None:
        """Refuse options that contradict one another, before anything is imported.

        Args:
            sheets: whether sheets of several pictures are drawn, and no images.

        Raises:
            BadValueError: naming the option, and what is wrong with it.
        """
        signing = {
            "--certificate": self.certificate,
            "--key": self.key,
            "--timestamp": self.timestamp,
        }
        logging = {"--log-key": self.log_key, "--log-prompts": self.log_prompts or None}
        named = {
            "--provider": self.provider,
            "--system": self.system,
            "--watermark": self.watermark,
        }
        given = {"--sign": self.sign or None, "--log": self.log, **signing, **logging, **named}
        used = next((name for name, value in given.items() if value is not None), None)
        if sheets and used is not None:
            raise BadValueError(f"{used} is for images, not for sheets; leave it out")
        for needed, options in (("--sign", signing), ("--log", logging)):
            other = next((name for name, value in options.items() if value is not None), None)
            if other is not None and given[needed] is None:
                raise BadValueError(f"{other} needs {needed}; add it, or leave {other} out")
        if (self.certificate is None) != (self.key is None):
            raise BadValueError("--certificate and --key belong together; give both or neither")
        check_choice("--watermark", self.watermark, ("trustmark",))
        if self.provider is not None and not self.provider.strip():
            raise BadValueError(f"--provider is {self.provider!r}; give a name, or leave it out")
        if self.log is not None:
            check_place("--log", self.log, self.log.parent)

    def seal(self) -> Seal:
        """Return what these options describe, after a trial of all of it.

        Raises:
            BadValueError: a file that cannot be used, or a time-stamp authority that does not
                answer.
            OSError: the log cannot be written.
            UnsupportedError: the extra ``provenance`` is not installed.
        """
        from safelatent.provenance import seal

        made = seal.Seal(
            provider=self.provider,
            system=seal.SAFELATENT if self.system is None else seal.System.parse(self.system),
            signer=self._signer() if self.sign else None,
            log=log_of(self.log, self.log_key, plain_prompts=self.log_prompts),
            watermark=watermark_of(self.watermark),
        )
        made.check()
        return made

    def _signer(self) -> Signer:
        from safelatent.provenance.certificate import Signer

        if self.certificate is None or self.key is None:
            return Signer.for_tests(timestamp=self.timestamp)
        return Signer.load(self.certificate, self.key, timestamp=self.timestamp)


def log_of(file: Path | None, key: Path | None, *, plain_prompts: bool = False) -> AuditLog | None:
    """Return the log of these options; None without a file."""
    from safelatent.provenance.audit_log import AuditLog

    return None if file is None else AuditLog(file=file, key=key, plain_prompts=plain_prompts)


def watermark_of(name: str | None) -> Watermark | None:
    """Return the watermark of ``--watermark``; None for none."""
    from safelatent.provenance.marks import TrustMark

    return None if name is None else TrustMark()
