"""What people call a run afterwards: its name, its tags, a note. They change nothing of what it found."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from experiment.errors import UserError
from experiment.store.archive_format import check_archive
from experiment.store.archive_labels import relabel
from experiment.store.directory import RunDirectory
from experiment.store.record import read_run
from experiment.system.names import printable
from experiment.system.secrets import redact

NAME_CHARACTERS = 100  # of a name or a tag: Comet cuts longer ones
NOTE_CHARACTERS = 1000  # Comet cuts the text of a longer value


@dataclasses.dataclass(frozen=True)
class Change:
    """What is to change: None, or nothing to add or remove, for what stays. ``note=""`` clears the note."""

    name: str | None = None
    note: str | None = None
    add: Sequence[str] = ()
    remove: Sequence[str] = ()

    def check(self, secrets: Sequence[str | None] = ()) -> Change:
        """Return the change without spaces around its texts.

        Raises:
            UserError: a text is empty, too long, has several lines where one is allowed, or holds a secret.
        """
        changed = dataclasses.replace(
            self,
            name=None if self.name is None else self.name.strip(),
            note=None if self.note is None else self.note.strip(),
            add=tuple(tag.strip() for tag in self.add),
        )
        for kind, text in (("name", changed.name), *(("tag", tag) for tag in changed.add)):
            if text is not None:
                _check(kind, text)
        if len(changed.note or "") > NOTE_CHARACTERS:
            count = len(changed.note or "")
            raise UserError(f"the note has {count:,} characters; at most {NOTE_CHARACTERS:,} are allowed")
        for text in (changed.name, changed.note, *changed.add):
            if text and redact(text, secrets) != text:
                raise UserError("name, tags and note go to Comet: leave out the password, token or key")
        return changed


def _check(kind: str, text: str) -> None:
    if not text:
        raise UserError(f"{kind} = '': should not be empty")
    check_length(kind, text)
    if printable(text) != text:
        raise UserError(f"{kind} = '{printable(text)}': should be one line of text")


def check_length(kind: str, text: str) -> None:
    """Make sure that a name or a tag is short enough.

    Raises:
        UserError: it is longer than NAME_CHARACTERS.
    """
    if len(text) > NAME_CHARACTERS:
        raise UserError(
            f"{kind} = '{text[:20]}…' has {len(text)} characters; at most {NAME_CHARACTERS} are allowed"
        )


def change_labels(directory: RunDirectory, change: Change) -> dict[str, Any]:
    """Change what a run is called, in ``run.json`` and in its archive; return all of ``run.json``.

    A run that is alive may be called otherwise, too: its archive is built at its end.

    Args:
        directory: the run's.
        change: checked.

    Raises:
        UserError: the run has no tag that is to be removed, is damaged, or cannot be written to.
    """
    read_run(directory.path)
    try:
        run = directory.edit_run(lambda run: _changed(run, change))
        if directory.archive.exists() and not check_archive(directory.archive):
            relabel(directory)
    except OSError as error:
        raise UserError(f"'{directory.path}' cannot be written to: {error.strerror or error}") from None
    return run


def _changed(run: Mapping[str, Any], change: Change) -> dict[str, Any]:
    tags = list(run.get("tags") or [])
    if lacking := [tag for tag in change.remove if tag not in tags]:
        has = f"it has {', '.join(map(repr, tags))}" if tags else "it has none"
        raise UserError(f"run '{printable(run['name'])}' has no tag {lacking[0]!r}: {has}")
    kept = [tag for tag in dict.fromkeys([*tags, *change.add]) if tag not in change.remove]
    # Comet's own users may have added tags there: only what was removed here is removed there.
    removed = dict.fromkeys([*(run.get("removed_tags") or []), *change.remove])
    fields: dict[str, Any] = {"tags": kept, "labelled": time.time()}
    fields["removed_tags"] = [tag for tag in removed if tag not in kept]
    if change.name is not None:
        fields["name"] = change.name
    if change.note is not None:
        fields["note"] = change.note
    return fields
