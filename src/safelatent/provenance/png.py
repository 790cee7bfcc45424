"""What a PNG file says about its picture: the receipt as JSON, and the latent disclosure as XMP,
the form that other programs read and some keep.

The properties are IPTC's: the digital source type says that a model made the picture (IPTC Photo
Metadata 2025.1, https://www.iptc.org/std/photometadata/specification).
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from safelatent.detectors.images import METADATA
from safelatent.provenance.manifest import EDITED, GENERATED

_XMP = "XML:com.adobe.xmp"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NAMES = {
    "provider": "{http://ns.adobe.com/photoshop/1.0/}Credit",
    "system": "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}AISystemUsed",
    "version": "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}AISystemVersionUsed",
    "time": "{http://ns.adobe.com/xap/1.0/}CreateDate",
    "id": "{http://ns.adobe.com/xap/1.0/mm/}DocumentID",
    "source_type": "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType",
}
_PREFIXES = {
    "rdf": _RDF,
    "x": "adobe:ns:meta/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
}


def encode_png(image: Image.Image, metadata: Any, disclosure: bytes | None = None) -> bytes:
    """Return the image as PNG, with ``metadata`` as JSON under the key ``safelatent``.

    Args:
        disclosure: XMP, as ``disclosure_of`` makes it.
    """
    info = PngInfo()
    info.add_itxt(METADATA, json.dumps(metadata, ensure_ascii=False))
    if disclosure is not None:
        info.add_itxt(_XMP, disclosure.decode())
    encoded = io.BytesIO()
    image.save(encoded, "PNG", pnginfo=info)
    return encoded.getvalue()


def disclosure_of(receipt: Mapping[str, Any]) -> bytes:
    """Return the latent disclosure of a receipt as XMP: provider, system and version, time, unique
    id, and that a model made the picture.
    """
    edited = any(one["relation"] == "parentOf" for one in receipt.get("inputs", ()))
    values = {
        "provider": receipt.get("provider"),
        "system": receipt["system"]["name"],
        "version": receipt["system"]["version"],
        "time": receipt["time"],
        "id": f"urn:uuid:{receipt['id']}",
        "source_type": EDITED if edited else GENERATED,
    }
    for prefix, space in _PREFIXES.items():
        ElementTree.register_namespace(prefix, space)
    root = ElementTree.Element("{adobe:ns:meta/}xmpmeta")
    rdf = ElementTree.SubElement(root, f"{{{_RDF}}}RDF")
    description = ElementTree.SubElement(rdf, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    for name, value in values.items():
        if value is not None:
            ElementTree.SubElement(description, _NAMES[name]).text = value
    packet = ElementTree.tostring(root)
    return b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>' + packet


def read_disclosure(xmp: bytes) -> dict[str, str]:
    """Return what XMP says of ``disclosure_of``'s fields, by their names; nothing if it is broken.

    Programs that store it again write properties as elements or as attributes; both are read.
    """
    try:
        root = ElementTree.fromstring(xmp.strip(b"\0 \n"))  # noqa: S314  # expat stops bombs
    except (ElementTree.ParseError, ValueError):
        return {}
    by_tag = {tag: name for name, tag in _NAMES.items()}
    found: dict[str, str] = {}
    for element in root.iter():
        for tag, text in ((element.tag, element.text), *element.attrib.items()):
            if tag in by_tag and text and text.strip():
                found.setdefault(by_tag[tag], text.strip().removeprefix("urn:uuid:"))
    return found
