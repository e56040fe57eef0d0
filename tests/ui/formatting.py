"""Check the format of CSS and JavaScript and the line length of assets and templates; ``--fix`` formats."""

from __future__ import annotations

import sys
from pathlib import Path

import cssbeautifier
import jsbeautifier

ROOT = Path(__file__).parent.parent.parent
LINE_MAX = 120
STYLE = {"indent_size": 2, "end_with_newline": True, "brace_style": "collapse,preserve-inline"}


def formatted(path: Path) -> str:
    """The text of a style sheet or script as the formatter writes it."""
    beautify = cssbeautifier.beautify if path.suffix == ".css" else jsbeautifier.beautify
    return str(beautify(path.read_text(), STYLE))


def problems(fix: bool = False) -> list[str]:
    """One line for each file that is not formatted and each line that is too long."""
    lines: list[str] = []
    assets = [*ROOT.glob("static/*/*.css"), *ROOT.glob("static/js/*.js"), *ROOT.glob("templates/demo/*.css")]
    for path in sorted(assets):
        text = formatted(path)
        if text == path.read_text():
            continue
        if fix:
            path.write_text(text)
        else:
            lines.append(f"{path.relative_to(ROOT)}: not formatted")
    for path in sorted([*assets, *ROOT.glob("templates/**/*.html")]):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if len(line) > LINE_MAX:
                lines.append(f"{path.relative_to(ROOT)}:{number}: {len(line)} characters")
    return lines


if __name__ == "__main__":
    sys.exit("\n".join(problems(fix="--fix" in sys.argv)) or None)
