"""What a refresh does not build again: what is published, was rolled back, or is held."""

import json
from collections.abc import Sequence
from contextlib import suppress

from ai_manufacturing.auditing import freshness, judgement
from ai_manufacturing.auditing.basis import Basis
from ai_manufacturing.landing.declared_revisions import Declaration
from ai_manufacturing.releases.errors import (
    GateFailedError,
    HeldError,
    NoEstimatesError,
    NothingNewError,
    RefreshError,
)
from ai_manufacturing.releases.manifest import read_manifest
from ai_manufacturing.releases.refresh_log import OnEvent
from ai_manufacturing.releases.store import PUBLISHED, Store

SAME = "same deliveries, code and packages"


def require_new(
    store: Store,
    basis: Basis | None,
    fingerprint: str,
    hold_above: float,
    declared: Sequence[Declaration],
    may_lack_estimates: bool,
    on_event: OnEvent,
) -> str | None:
    """End a refresh that would build again what is published, was rolled back, or is held.

    Parameters
    ----------
    store : Store
        Where releases are.
    basis : Basis or None
        The release that a build would be compared with.
    fingerprint : str
        Of deliveries, code and packages.
    hold_above : float
        Standard errors by which a shown estimate may move.
    declared : sequence of Declaration
        Those that stand.
    may_lack_estimates : bool
        Whether a build without headline estimates may be published.
    on_event : callable
        Takes warnings of late providers.

    Returns
    -------
    str or None
        A held build of the same fingerprint that something else decides of now: to be judged again.

    Raises
    ------
    NothingNewError, HeldError, GateFailedError, NoEstimatesError
        As the earlier refresh ended.
    """
    published = basis.manifest if basis is not None and basis.path == store.published else None
    nothing = None
    if published is not None and published.fingerprint == fingerprint:
        nothing = f"Nothing new since release {published.release_id}: {SAME}."
    elif published is not None and (
        number := _rolled_back(store, fingerprint, published.release_id)
    ):
        nothing = (
            f"Nothing new since release {number}: {SAME}. It was rolled back to"
            f" {published.release_id}. To publish it again: ai-manufacturing rollback {number}."
        )
    if nothing is not None:
        freshness.require_fresh(store.published, nothing, False, on_event)
        raise NothingNewError(nothing)
    judged_by = judgement.judged_by(basis, hold_above, declared, may_lack_estimates)
    judged_again = None
    for folder in sorted((store.folder / "held").glob("*")):
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a build that is not whole judges nothing
            continue
        if report["manifest"]["fingerprint"] != fingerprint:
            continue
        at_gate = report["outcome"] == GateFailedError.__name__
        # the gate reads declared revisions, and no limit of estimates
        if at_gate and not {*map(str, declared)} <= {*report["judged_by"]}:
            continue
        if at_gate or report["judged_by"] == judged_by:
            message = (
                f"Nothing new since build {folder.name}, which is held: {SAME}."
                f" {folder / 'report.json'} says why. To publish it anyway: ai-manufacturing"
                f" publish {folder.name} --reason '...'; or delete its folder, and refresh, to"
                " judge it again."
            )
            for error in (HeldError, NoEstimatesError):
                if report["outcome"] == error.__name__:
                    raise error(message)
            raise GateFailedError(message, folder.name)
        with suppress(RefreshError):  # a damaged one is built again
            store.require_held(folder.name)
            judged_again = folder.name
    return judged_again


def _rolled_back(store: Store, fingerprint: str, published: str) -> str | None:
    """Return the later release of the same fingerprint, if one was rolled back."""
    lines = store.refreshes()
    were_published = {line["release_id"] for line in lines if line["outcome"] in PUBLISHED}
    # a refresh that died before its line was whole is known from the rollback
    were_published |= {line["instead_of"] for line in lines if line.get("instead_of")}
    for number in store.release_ids():
        if number in were_published and number > published:
            with suppress(RefreshError):  # a damaged file
                if read_manifest(store.past(number)).fingerprint == fingerprint:
                    return number
    return None
