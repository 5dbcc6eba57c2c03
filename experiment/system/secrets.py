"""Secrets in text, found by value or by shape, and replaced: none reaches a log, an archive or an error."""

from __future__ import annotations

import re
from collections.abc import Iterable

REDACTED = "[redacted]"

# Shapes that GitHub's and GitLab's secret scanners look for, and credentials inside URLs.
_TOKENS = re.compile(
    r"""gh[pousr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{40,} | glpat-[A-Za-z0-9_-]{20,}
    | (?:AKIA|ASIA)[A-Z0-9]{16} | hf_[A-Za-z0-9]{30,} | sk-[A-Za-z0-9_-]{20,} | xox[abpors]-[A-Za-z0-9-]{10,}
    | AIza[A-Za-z0-9_-]{35} | eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----[\s\S]*?-----END\ [A-Z ]*PRIVATE\ KEY-----
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@) | (?<=://)[^/\s:@]{20,}(?=@)""",
    re.VERBOSE,
)
# Sixteen characters at least: `token = 3` of a parameter or a sentence is no secret.
_ASSIGNMENTS = re.compile(
    r"""((?:api[_-]?key|secret|token|passw(?:or)?d)["']?\s*[:=]\s*["']?)([A-Za-z0-9_/+.~-]{16,})""",
    re.IGNORECASE,
)


def redact(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Replace known secrets, and what has the shape of one, by ``[redacted]``."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, REDACTED)
    return _ASSIGNMENTS.sub(rf"\1{REDACTED}", _TOKENS.sub(REDACTED, text))
