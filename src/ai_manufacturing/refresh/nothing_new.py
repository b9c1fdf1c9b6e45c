"""Detect builds that would repeat a published, rolled-back or held one."""

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
    hold_shown_above: float,
    declared: Sequence[Declaration],
    may_lack_estimates: bool,
    on_event: OnEvent,
) -> str | None:
    """Raise if a build would repeat a published, rolled-back or held one.

    Parameters
    ----------
    store : Store
        Release folder.
    basis : Basis or None
        Release that a build would be compared with.
    fingerprint : str
        Fingerprint of deliveries, code and packages.
    hold_shown_above : float
        Largest move of a shown estimate that passes, in standard errors.
    declared : sequence of Declaration
        Declared revisions that apply to the release.
    may_lack_estimates : bool
        Whether a build without headline estimates may be published.
    on_event : callable
        Receives warnings about late providers.

    Returns
    -------
    str or None
        A held build with the same fingerprint to judge again, because the limit, the anchor or the
        declared revisions changed.

    Raises
    ------
    NothingNewError, HeldError, GateFailedError, NoEstimatesError
        The error of the earlier refresh, or NothingNewError if it published a release.
    """
    published = basis.manifest if basis is not None and basis.path == store.published_path else None
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
        freshness.require_fresh(store.published_path, nothing, False, on_event)
        raise NothingNewError(nothing)
    judged_by = judgement.judged_by(basis, hold_shown_above, declared, may_lack_estimates)
    judged_again = None
    for folder in sorted((store.folder / "held").glob("*")):
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # skip an incomplete held build
            continue
        if report["manifest"]["fingerprint"] != fingerprint:
            continue
        at_gate = report["outcome"] == GateFailedError.__name__
        # the gate depends on declared revisions, but not on the limit for estimates
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
        with suppress(RefreshError):  # build again if the held build is damaged
            store.require_intact_held_build(folder.name)
            judged_again = folder.name
    return judged_again


def _rolled_back(store: Store, fingerprint: str, published: str) -> str | None:
    """Return a later release with the same fingerprint that was rolled back, if there is one."""
    lines = store.read_refreshes()
    were_published = {line["release_id"] for line in lines if line["outcome"] in PUBLISHED}
    # If a refresh crashed before it was logged, only the rollback names the release it published.
    were_published |= {line["instead_of"] for line in lines if line.get("instead_of")}
    for number in store.list_release_ids():
        if number in were_published and number > published:
            with suppress(RefreshError):  # skip a damaged file
                if read_manifest(store.locate_past_release(number)).fingerprint == fingerprint:
                    return number
    return None
