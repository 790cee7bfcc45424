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

from safelatent.detectors.images import METADATA, XMP
from safelatent.provenance.manifest import EDITED, GENERATED

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
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
        info.add_itxt(XMP, disclosure.decode())
    encoded = io.BytesIO()
    image.save(encoded, "PNG", pnginfo=info)
    return encoded.getvalue()


def text_names(data: bytes) -> list[str]:
    """Return the names of a PNG file's texts, in their order; none if it is not a PNG file."""
    names, place = [], len(_SIGNATURE)
    if not data.startswith(_SIGNATURE):
        return names
    while (kind := data[place + 4 : place + 8]) and kind != b"IEND":
        length = int.from_bytes(data[place : place + 4])
        if kind in _TEXTS:
            name, _, _ = data[place + 8 : place + 8 + length].partition(b"\0")
            names.append(name.decode("latin-1"))
        place += 12 + length
    return names


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

    Programs that store it again write properties as elements, as attributes, as links or as lists;
    all are read. Several values of one field are returned together, so that the true one does not
    cover for another.
    """
    try:
        root = ElementTree.fromstring(xmp.strip(b"\0 \n"))  # noqa: S314  # expat stops bombs
    except (ElementTree.ParseError, ValueError):
        return {}
    by_tag = {tag: name for name, tag in _NAMES.items()}
    found: dict[str, list[str]] = {}
    for element in root.iter():
        inside = [part.text for child in element for part in (child, *child)]
        texts = [element.text, element.get(f"{{{_RDF}}}resource"), *inside]
        for tag, text in (*((element.tag, text) for text in texts), *element.attrib.items()):
            value = (text or "").strip().removeprefix("urn:uuid:")
            if tag in by_tag and value and value not in found.setdefault(by_tag[tag], []):
                found[by_tag[tag]].append(value)
    return {name: " | ".join(values) for name, values in found.items() if values}
