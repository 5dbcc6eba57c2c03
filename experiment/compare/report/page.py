"""A ``Comparison`` as one HTML file that needs nothing but a browser: no network, no other file."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

from experiment.compare import answers
from experiment.compare.comparison import Comparison
from experiment.compare.report.payload import payload
from experiment.compare.report.suspected import suspected
from experiment.errors import UserError
from experiment.system.names import counted

FOLDER = Path(__file__).parent
# In this order; the last one starts.
SCRIPTS = ("page", "where", "table", "curves", "charts", "matrix", "pair", "run", "follow", "start")


def check_installed() -> None:
    """Check that what a report needs is there.

    Raises:
        UserError: it is not; the sentence says what to install.
    """
    missing = [name for name in ("plotly", "jinja2") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--html needs {' and '.join(missing)}: pip install -c constraints.txt -e '.[report]' "
            "(or pip install plotly jinja2)"
        )


def write_report(comparison: Comparison, path: Path) -> None:
    """Write the report.

    Raises:
        UserError: it cannot be written there, or plotly or jinja2 is not installed.
    """
    page = render(comparison)
    try:
        path.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"--html '{path}' cannot be written: {error.strerror}") from None


def render(comparison: Comparison, *, version: int | None = None) -> str:
    """Return the report; with a version, one that asks its server, and nobody else, for what is newer.

    Raises:
        UserError: plotly or jinja2 is not installed.
    """
    check_installed()
    from plotly.offline import get_plotlyjs

    return _template("page.html").render(
        **_told(comparison),
        version=version,
        suspected=suspected(comparison.records),
        data=_for_script(payload(comparison)),
        plotly=get_plotlyjs(),
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        scripts=[(FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS],
    )


def news(comparison: Comparison) -> dict[str, Any]:
    """Return what a followed page puts in the place of what it shows: all but its scripts."""
    told = _told(comparison)
    return {
        **{name: told[name] for name in ("title", "written")},
        "answers": _template("answers.html").render(**told),
        "data": payload(comparison),
    }


def _template(name: str) -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(FOLDER)
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template(name)


def _told(comparison: Comparison) -> dict[str, Any]:
    """Return what the page says in words."""
    count = len(comparison.records)
    return {
        "title": f"{counted(count, 'run')} compared" if count > 1 else f"Run {comparison.records[0].name}",
        "comparison": comparison,
        "answers": [
            (block.title, [(verdict.verdict, answers.verdict_text(verdict)) for verdict in block.verdicts])
            for block in answers.blocks(comparison)
        ],
        "undecided": answers.undecided(comparison),
        "method": answers.method_text(comparison),
        "written": time.strftime("%Y-%m-%d %H:%M"),
    }


def _for_script(content: Any) -> str:
    """Return JSON that no HTML parser can take for the end of a script, whatever names users typed."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
