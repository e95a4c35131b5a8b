"""Makes cells.json from docs/ENVELOPE.md with Python's `cryptography`, and nothing of this repository's code.

python3 libs/data-encryption/test/vectors/cells.py > libs/data-encryption/test/vectors/cells.json
"""

import base64
import hashlib
import hmac
import json
import struct
import unicodedata
from datetime import datetime, timezone

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TYPES = {"string": 1, "number": 2, "bigint": 3, "boolean": 4, "date": 5, "json": 6, "buffer": 7, "paddedString": 8, "paddedJson": 9}
TYPES |= {"paddedBuffer": 10, "nullableNumber": 11, "nullableBigint": 12, "nullableBoolean": 13, "nullableDate": 14}
TYPES |= {"nullablePaddedString": 15, "nullablePaddedJson": 16, "nullablePaddedBuffer": 17}


def fields(*values):
    encoded = [v if isinstance(v, bytes) else v.encode() for v in values]
    return b"".join(struct.pack(">I", len(v)) + v for v in encoded)


def derive(secret, info):
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info.encode()).derive(secret)


def cell(data_key, data_key_id, place, kind, row, nonce, plaintext):
    header = base64.b64decode("nhsm") + bytes([1, 1]) + data_key_id
    tenant = place.get("tenant")
    purpose = "nest-hsm " + ("" if place["isRowBound"] else "unbound ") + ("tenant " if tenant else "") + "cell v1"
    aad = fields(purpose, place["databaseId"], place["tableId"], place["columnId"], *([tenant] if tenant else []))
    aad += fields(bytes([TYPES[kind]]), data_key_id)
    aad += fields(*row)
    sealed = AESGCM(derive(data_key, "nest-hsm cell key v1")).encrypt(nonce, plaintext, aad)
    return aad, base64.b64encode(header + nonce + sealed).decode()


def nfkc(text):
    return unicodedata.normalize("NFKC", text)


def casefold(text):
    return nfkc(nfkc(text).lower().upper().lower().replace("ς", "σ"))


NORMALIZE = {
    "exact": lambda text: text,
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "nfkc-casefold": casefold,
    "email": lambda text: casefold(text.strip()),
    "digits": lambda text: "".join(c for c in nfkc(text) if c in "0123456789"),
}


def index(data_key, data_key_id, kind, canonical):
    mac = hmac.new(derive(data_key, "nest-hsm index key v1"), bytes([TYPES[kind]]) + canonical, hashlib.sha256).digest()
    return base64.b64encode(data_key_id[:6] + mac[:18]).decode()


DATA_KEY = bytes(range(32))
DATA_KEY_ID = bytes(range(16, 32))
PLACE = {"databaseId": "clinic", "tableId": "Patient", "columnId": "name", "isRowBound": True}
CASES = [
    ("string", "Grüße 🐎", "Grüße 🐎".encode(), ["a0eebc999c0b4ef8bb6d6bb9bd380a11"]),
    ("string", "", b"", ["1"]),
    ("number", -0.1, struct.pack(">d", -0.1), ["1"]),
    ("bigint", "-9223372036854775808", struct.pack(">q", -(2**63)), ["1"]),
    ("boolean", True, b"\x01", ["1"]),
    ("boolean", False, b"\x00", ["1"]),
    ("date", "1961-04-12T06:07:00.000Z", struct.pack(">q", int(datetime(1961, 4, 12, 6, 7, tzinfo=timezone.utc).timestamp()) * 1000), ["1"]),
    ("json", {"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'.encode(), ["1"]),
    ("buffer", "00ff10", bytes.fromhex("00ff10"), ["north", "7"]),
    ("paddedString", "Grüße", "Grüße".encode() + b"\x80" + bytes(8), ["1"]),
    ("paddedString", "sixteen bytes ..", b"sixteen bytes .." + b"\x80" + bytes(15), ["1"]),
    ("paddedJson", [1], b"[1]\x80" + bytes(12), ["1"]),
    ("paddedBuffer", "00ff80", bytes.fromhex("00ff80") + b"\x80" + bytes(12), ["1"]),
    ("nullableNumber", 7, b"\x01" + struct.pack(">d", 7), ["1"]),
    ("nullableNumber", None, bytes(9), ["1"]),
    ("nullableBigint", None, bytes(9), ["1"]),
    ("nullableBoolean", False, b"\x01\x00", ["1"]),
    ("nullableBoolean", None, bytes(2), ["1"]),
    ("nullableDate", None, bytes(9), ["1"]),
    ("nullablePaddedString", "", b"\x01\x80" + bytes(15), ["1"]),
    ("nullablePaddedString", None, bytes(17), ["1"]),
    ("nullablePaddedJson", None, bytes(17), ["1"]),
    ("nullablePaddedBuffer", None, bytes(17), ["1"]),
]

TEXTS = [
    ("exact", "Grüße 🐎"),
    ("exact", ""),
    ("nfc", "Gru\u0308ße"),
    ("nfkc-casefold", "ＧＲÜẞE ﬁ ΟΔΟΣ"),
    ("email", "  Ada.Lovelace@Example.ORG\n"),
    ("digits", "+43 (660) １２３-456"),
]
INDEXES = [(kind, value, plaintext) for kind, value, plaintext, _ in CASES if kind in ("number", "bigint", "date", "buffer")]

indexes = [
    {"type": "string", "normalization": name, "value": text, "text": index(DATA_KEY, DATA_KEY_ID, "string", NORMALIZE[name](text).encode())}
    for name, text in TEXTS
] + [
    {"type": kind, "normalization": "exact", "value": value, "text": index(DATA_KEY, DATA_KEY_ID, kind, plaintext)}
    for kind, value, plaintext in INDEXES
]

vectors = []
for number, (kind, value, plaintext, row) in enumerate(CASES):
    nonce = bytes([number]) * 12
    aad, text = cell(DATA_KEY, DATA_KEY_ID, PLACE, kind, row, nonce, plaintext)
    vectors.append({"type": kind, "value": value, "row": row, "nonce": nonce.hex(), "aad": aad.hex(), "cell": text})

unbound_aad, unbound = cell(DATA_KEY, DATA_KEY_ID, {**PLACE, "isRowBound": False}, "string", [""], bytes([255]) * 12, b"anywhere")

tenant_aad, of_tenant = cell(DATA_KEY, DATA_KEY_ID, {**PLACE, "tenant": "north"}, "string", ["1"], bytes([254]) * 12, b"of the north")


def scoped(purpose, algorithm):
    commitment = derive(DATA_KEY, "nest-hsm data key commitment v1")
    return fields(
        "nest-hsm scoped data key v1", purpose, DATA_KEY_ID, "clinic", "Patient", "name", "north", algorithm, "0f" * 16, commitment,
    ).hex()


print(
    json.dumps(
        {
            "source": "Python cryptography, by cells.py",
            "dataKey": DATA_KEY.hex(),
            "dataKeyId": DATA_KEY_ID.hex(),
            "commitment": derive(DATA_KEY, "nest-hsm data key commitment v1").hex(),
            "place": PLACE,
            "wrapAssociatedData": fields(
                "nest-hsm data key v1", "cell", DATA_KEY_ID, "clinic", "Patient", "aes-256-gcm", "0f" * 16,
                derive(DATA_KEY, "nest-hsm data key commitment v1"),
            ).hex(),
            "cells": vectors,
            "unbound": {"type": "string", "value": "anywhere", "aad": unbound_aad.hex(), "cell": unbound},
            "ofTenant": {"tenant": "north", "row": ["1"], "value": "of the north", "aad": tenant_aad.hex(), "cell": of_tenant},
            "scopedWrapAssociatedData": {"cell": scoped("cell", "aes-256-gcm"), "index": scoped("index", "hmac-sha-256/email")},
            "indexWrapAssociatedData": fields(
                "nest-hsm data key v1", "index", DATA_KEY_ID, "clinic", "Patient", "name", "hmac-sha-256/email", "0f" * 16,
                derive(DATA_KEY, "nest-hsm data key commitment v1"),
            ).hex(),
            "indexes": indexes,
        },
        indent=2,
        ensure_ascii=False,
    )
)
