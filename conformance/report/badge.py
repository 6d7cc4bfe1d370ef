"""``badge.svg``: the verdict in a line, for a README. Green is for ``passed`` and nothing else."""

from __future__ import annotations

from html import escape

from conformance.report.matrix import MatrixCell, known_deviations
from conformance.report.results import Report, Verdict

_LABEL = "whale-ready"
_COLOURS = {
    Verdict.PASSED: "#1a7f37",
    Verdict.NO_WORSE: "#8a5a00",
    Verdict.FAILED: "#b3261e",
    Verdict.INCONCLUSIVE: "#8a5a00",
    Verdict.COULD_NOT_RUN: "#57606a",
    Verdict.INTERRUPTED: "#57606a",
}
"""All of them with white letters at a contrast of 4.5 or more."""
_PADDING, _HEIGHT = 14, 20
_NARROW, _BROAD = " ·fijlrt", "mw"

_BADGE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" \
viewBox="0 0 {width} {height}" role="img" aria-label="{text}">
<title>{text}</title>
<rect width="{width}" height="{height}" rx="3" fill="{colour}"/>
<path d="M3 0h{edge}v{height}H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="#24292f"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{label_x}" y="14" textLength="{label_length}">{label}</text>
<text x="{words_x}" y="14" textLength="{words_length}">{words}</text>
</g>
</svg>
"""


def badge_words(report: Report) -> str:
    """What the badge says: ``passed · full``, and what a reader must know besides."""
    parts = [report.verdict.value.replace("_", " "), report.profile.value]
    simulated = [backend.simulated for backend in report.backends]
    if any(simulated):
        parts.append("simulated" if all(simulated) else "partly simulated")
    counts = MatrixCell.of(report.results)
    parts += [known_deviations(counts.known)] if counts.known else []
    parts += [f"{counts.waived} waived"] if counts.waived else []
    return " · ".join(parts)


def to_badge(report: Report) -> str:
    """An SVG that says in words what its colour says."""
    words = badge_words(report)
    label, value = _width(_LABEL), _width(words)
    return _BADGE.format(
        width=label + value,
        height=_HEIGHT,
        edge=label - 3,
        colour=_COLOURS[report.verdict],
        text=escape(f"{_LABEL}: {words}"),
        label=_LABEL,
        label_x=label / 2,
        label_length=label - _PADDING,
        words=escape(words),
        words_x=label + value / 2,
        words_length=value - _PADDING,
    )


def _width(text: str) -> int:
    """Of Verdana's letters at 11 px, near enough: ``textLength`` makes up for the rest."""
    widths = [4.2 if each in _NARROW else 9.8 if each in _BROAD else 6.7 for each in text]
    return round(sum(widths)) + _PADDING
