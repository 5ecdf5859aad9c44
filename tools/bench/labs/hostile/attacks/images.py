"""Truncated images, in an instance whose heap is full of another client's page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from tests.worker import bombs
from tests.worker.malformed import valid_files
from tools.bench.labs.hostile.bystanders import Bystanders
from tools.bench.labs.hostile.measure import measured
from tools.bench.labs.hostile.pages import checked_requests, secret_page
from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.target import Target

CUTS = (0.3, 0.6, 0.9)
SIZE = (400, 300)


@dataclass(frozen=True)
class TruncatedFile:
    """`statuses`: the statuses that are right for it."""

    name: str
    data: bytes
    statuses: tuple[int, ...]


def incomplete(quick: bool) -> AttackResult:
    out = AttackResult("A incomplete images", held="a heap full of another page")
    with measured(out, instances=1) as aim:
        secret = secret_page(*SIZE)
        with Bystanders(aim.worker.port, checked_requests(1), out.counts, clients=1):
            for number, file in enumerate(truncated_files()):
                if quick and number % 2:
                    continue
                out.bad += 1
                assert aim.worker.post(secret).status == 200
                _send(out, aim, file)
        for name, data in complete():
            answer = aim.worker.post(data)
            out.expect(answer.status == 200, f"{name}: {answer.status} {answer.body[:200]!r}")
    return out


def _send(out: AttackResult, aim: Target, file: TruncatedFile) -> None:
    answer = aim.worker.post(file.data)
    out.expect(
        answer.status in file.statuses,
        f"{file.name}: {answer.status}, not {file.statuses}: {answer.body[:200]!r}",
    )
    if answer.status != 200:
        return
    for page in answer.json["pages"]:
        found = page["lines"][1]["text"]
        out.expect(found == "secret 0", f"{file.name}: its pixels contain another page ({found})")


def truncated_files() -> Iterator[TruncatedFile]:
    """Files of every format, file at several places."""
    for name, data in {**jpegs(), **valid_files()}.items():
        # A truncated document may be read in part, but its pixels must be its own.
        readable = name.startswith("pdf")
        for share in CUTS:
            part = data[: int(len(data) * share)]
            yield TruncatedFile(
                f"{share:.0%} of a {name}", part, (200, 422) if readable else (422,)
            )
        last = (422,) if "jpeg" in name and "tiff" not in name else (200, 422)
        yield TruncatedFile(f"{name} without its last two bytes", data[:-2], last)
    yield TruncatedFile("pdf of a cut jpeg", pdf_of_jpeg(jpegs()["large jpeg"], 0.3), (200, 422))


def complete() -> Iterator[tuple[str, bytes]]:
    """Files that must be read: whole ones, also with bytes after their end."""
    for name, data in jpegs().items():
        yield f"whole {name}", data
        yield f"{name} with bytes after its end", data + bytes(64) + b"trailer"


def jpegs() -> dict[str, bytes]:
    """White pages: no pixel looks like `SECRET`."""
    files = {}
    for name, mode, more in (
        ("large jpeg", "RGB", {}),
        ("grey jpeg", "L", {}),
        ("jpeg in colours of its own", "RGB", {"subsampling": 0}),
    ):
        picture = Image.new(mode, SIZE, 255 if mode == "L" else (255, 255, 255))
        for x in range(0, SIZE[0], 7):  # so that the file is not tiny
            for y in range(SIZE[1]):
                picture.putpixel((x, y), (x * y) % 255 if mode == "L" else (x % 255, y % 255, 9))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=90, **more)
        files[name] = out.getvalue()
    files["jpeg with a thumbnail"] = with_thumbnail(files["large jpeg"], files["grey jpeg"])
    return files


def with_thumbnail(data: bytes, thumbnail: bytes) -> bytes:
    """A JPEG whose EXIF segment holds a whole second JPEG."""
    segment = b"Exif\0\0" + thumbnail[:60_000] + b"\xff\xd9"
    return data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


def pdf_of_jpeg(data: bytes, share: float) -> bytes:
    """A PDF of one page with a truncated JPEG."""
    part = data[: int(len(data) * share)]
    width, height = SIZE
    head = b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceRGB" % SIZE
    head += b"/BitsPerComponent 8/Filter/DCTDecode/Length %d>>" % len(part)
    drawing = b"q %d 0 0 %d 0 0 cm /I Do Q" % (width, height)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Contents 4 0 R" % SIZE
    page += b"/Resources<</XObject<</I 5 0 R>>>>>>"
    return bombs.pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page,
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawing), drawing),
        head + b"stream\n" + part + b"\nendstream",
    )
