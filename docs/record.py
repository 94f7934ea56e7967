#!/usr/bin/env python3
"""Records `rappel demo` as docs/demo.svg: the lines that tell the story, each at the second in which it came.

Usage: docs/record.py target/release/rappel
"""

import html
import re
import subprocess
import sys
import time
from pathlib import Path

TELLING = re.compile(
    r"== |   (host|lab\d) |STAGE \[(plan|deploy|health|rollback|unlock)|TRANSACTION|(passed|failed): \[(lock|plan|deploy|health|rollback)"
    r"|fatal: |lab\d+ +: (committed|rolled back)|aborted: "
)
WIDTH, ROWS, LINE = 118, 34, 17


def run(program):
    """The telling lines of a run, with the seconds since its beginning."""
    began, lines = time.monotonic(), []
    with subprocess.Popen([program, "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        for line in child.stdout:
            line = re.sub(r"\*{4,}", "", re.sub(r"/tmp/\S+", "/tmp/…", line.rstrip()))
            if TELLING.match(line):
                line = line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
                lines.append((time.monotonic() - began, line))
    if child.returncode:
        sys.exit(f"the demonstration ended with {child.returncode}")
    return lines


def color(line):
    for start, name in (("==", "title"), ("passed", "good"), ("fatal", "bad"), ("failed", "bad"), ("aborted", "bad")):
        if line.startswith(start):
            return name
    return "good" if "committed" in line else "bad" if "rolled back" in line else "plain"


def draw(lines):
    """The lines as a picture that scrolls as the terminal did."""
    end = lines[-1][0] + 6
    rows = []
    for number, (at, line) in enumerate(lines):
        rows.append(f'<text class="{color(line)}" x="14" y="{(number + 1) * LINE}" style="animation-delay:{at:.2f}s">{html.escape(line)}</text>')
    steps = []
    for number, (at, _) in enumerate(lines):
        up = max(0, number + 1 - ROWS) * LINE
        steps.append(f"{at / end * 100:.2f}%{{transform:translateY(-{up}px)}}")
    height = ROWS * LINE + 24
    style = (
        "svg{background:#0d1117;font:13px ui-monospace,Menlo,Consolas,monospace}text{white-space:pre;opacity:0;animation:show 0s forwards}"
        ".title{fill:#79c0ff;font-weight:bold}.good{fill:#7ee787}.bad{fill:#ff7b72}.plain{fill:#e6edf3}"
        f"@keyframes show{{to{{opacity:1}}}}@keyframes scroll{{{''.join(steps)}to{{transform:translateY(-{max(0, len(lines) - ROWS) * LINE}px)}}}}"
        f".page{{animation:scroll {end:.1f}s step-end forwards}}"
        "@media(prefers-reduced-motion:reduce){text{opacity:1;animation:none}"
        f".page{{animation:none;transform:translateY(-{max(0, len(lines) - ROWS) * LINE}px)}}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="960" height="{height}" viewBox="0 0 960 {height}" role="img" '
        f'aria-label="rappel demo: a deployment, one that fails, and the roll-back"><style>{style}</style><g class="page">{"".join(rows)}</g></svg>\n'
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Path(__file__).with_name("demo.svg").write_text(draw(run(sys.argv[1])), encoding="utf-8")
