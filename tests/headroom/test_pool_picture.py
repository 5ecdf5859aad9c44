"""The README's picture is drawn from a real `ocrpool up`; here at a faster pace."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from xml.etree import ElementTree

from rich.text import Text

from tools.generate.pool_picture import COLUMNS, TARGET, TITLE, Pace, record
from tools.generate.terminal_svg import Frame, animate

SVG = "{http://www.w3.org/2000/svg}"


def ready(output: str) -> list[int]:
    """How many instances of each worker are ready."""
    return [int(count) for count in re.findall(r"(\d+)/\d+ ready", Text.from_ansi(output).plain)]


def drawn(svg: str) -> list[str]:
    """What each frame of the picture says, without the spaces."""
    groups = ElementTree.fromstring(svg).findall(f"{SVG}g")
    return ["".join("".join(group.itertext()).split()) for group in groups]


def test_the_recording_shows_a_pool_that_grows(tmp_path: Path) -> None:
    recording, frames = record(tmp_path, Pace(interval=0.2, cool_down=1.0)), list[Frame]()
    with contextlib.closing(recording):
        for frame in recording:
            frames.append(frame)
            if ready(frame.output)[0] >= 2:
                break
    texts = drawn(animate(frames, COLUMNS, TITLE))
    assert len(texts) == len(frames)
    assert all("FakeGPU" in text for text in texts)
    assert re.search(r"[2-4]/[2-4]ready", texts[-1])


def test_the_picture_in_the_repository_is_such_a_recording() -> None:
    texts = drawn(TARGET.read_text(encoding="utf-8"))
    assert len(texts) > 5
    assert "/4ready" in "".join(texts)
    assert all("afterocrpoolup" in text.replace("`", "") for text in texts)
