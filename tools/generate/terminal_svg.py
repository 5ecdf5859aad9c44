"""Draw outputs of a terminal program as one SVG that shows them in turn.

A viewer without CSS animation shows the last frame.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

SECONDS_A_FRAME = 1.0
SECONDS_OF_THE_LAST = 5.0
# The window has a background of its own, so GitHub's light and dark pages show the same.
THEME = TerminalTheme(
    (13, 17, 23),
    (230, 237, 243),
    [
        (72, 79, 88),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (177, 186, 196),
    ],
)
_GROUP = """<g class="frame" id="{unique_id}"><style>{styles}</style>
<g transform="translate({terminal_x}, {terminal_x})">{backgrounds}{matrix}</g></g>\
<!--size {width} {height}-->"""
_CHAR_HEIGHT = 20  # of rich's export
_CHAR_WIDTH = 12.2
_TEXT = re.compile(
    r'<text class="(?P<style>[^"]+)" x="(?P<x>[^"]+)" y="(?P<y>[^"]+)" textLength="[^"]+"'
    r'(?: clip-path="[^"]*")?>(?P<text>.*?)</text>'
)
_TITLE_BAR = 32  # that rich leaves room for, and that this picture does not have


@dataclass(frozen=True)
class Frame:
    """What a program printed, with ANSI colours, and a caption for the window's title."""

    output: str
    caption: str


def animate(frames: Sequence[Frame], columns: int, title: str) -> str:
    """One SVG: a window, and the frames in it one after another."""
    lines = max(frame.output.count("\n") for frame in frames) + 1
    groups = [_draw(frame, number, columns, lines) for number, frame in enumerate(frames)]
    sizes = [match for group in groups if (match := re.search(r"<!--size (\S+) (\S+)-->", group))]
    width, height = (max(float(size[part]) for size in sizes) for part in (1, 2))
    height -= _TITLE_BAR
    body = "\n".join(re.sub(r"<!--size .*-->", "", group) for group in groups)
    return f"""<svg viewBox="0 0 {width:g} {height:g}" xmlns="http://www.w3.org/2000/svg">
<title>{title}</title>
<style>
text {{ font: {_CHAR_HEIGHT}px "Fira Code", Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
{_timing(len(frames))}
</style>
<rect x="1" y="1" width="{width - 2:g}" height="{height - 2:g}" rx="8" fill="#0d1117" \
stroke="#484f58"/>
{body}
</svg>
"""


def _draw(frame: Frame, number: int, columns: int, lines: int) -> str:
    console = Console(
        record=True, width=columns, file=io.StringIO(), force_terminal=True, legacy_windows=False
    )
    console.print(Text(f"$ ocrpool status    # {frame.caption}", style="rgb(139,148,158)"))
    console.print(Text.from_ansi(frame.output), no_wrap=True, crop=True)
    for _ in range(lines - frame.output.count("\n")):
        console.print()
    drawn = console.export_svg(code_format=_GROUP, theme=THEME, unique_id=f"frame{number}")
    return _TEXT.sub(_split_at_spaces, drawn)


def _split_at_spaces(text: re.Match[str]) -> str:
    """Place each piece of a line by itself: not all viewers keep spaces, or know `textLength`.

    The clip paths go: they are in the part of rich's template that `_GROUP` leaves out.
    """
    column = 0
    pieces = []
    for piece in re.split(r"((?:&#160;){2,})", text["text"]):
        plain = html.unescape(piece).replace("\xa0", " ")
        content = plain.strip()
        if content:
            x = float(text["x"]) + (column + plain.index(content)) * _CHAR_WIDTH
            pieces.append(
                f'<text class="{text["style"]}" x="{x:g}" y="{text["y"]}" '
                f'textLength="{len(content) * _CHAR_WIDTH:g}">{html.escape(content)}</text>'
            )
        column += len(plain)
    return "".join(pieces)


def _timing(count: int) -> str:
    """Show each frame for its share of the time; without animation, the last one."""
    total = (count - 1) * SECONDS_A_FRAME + SECONDS_OF_THE_LAST
    rules = [".frame { visibility: hidden; }", f"#frame{count - 1} {{ visibility: visible; }}"]
    rules.append("@media (prefers-reduced-motion: no-preference) {")
    for number in range(count):
        begin = 100 * number * SECONDS_A_FRAME / total
        end = 100 * (number + 1) * SECONDS_A_FRAME / total if number < count - 1 else 100
        rules.append(
            f"@keyframes show{number} {{ 0% {{ visibility: hidden; }} "
            f"{begin:.2f}% {{ visibility: visible; }} {end:.2f}%, 100% {{ visibility: hidden; }} }}"
        )
        rules.append(f"#frame{number} {{ animation: show{number} {total:g}s step-end infinite; }}")
    return "\n".join([*rules, "}"])
