"""Detect a refresh that would repeat a build already published, rolled back or held."""

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
    declarations: Sequence[Declaration],
    may_lack_estimates: bool,
    on_event: OnEvent,
) -> str | None:
    """Raise an error if a build of the same inputs was already published, rolled back or held.

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
    declarations : sequence of Declaration
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
    current = basis.manifest if basis is not None and basis.path == store.published_path else None
    reason = None
    if current is not None and current.fingerprint == fingerprint:
        reason = f"Nothing new since release {current.release_id}: {SAME}."
    elif current is not None and (
        number := _find_rolled_back_release(store, fingerprint, current.release_id)
    ):
        reason = (
            f"Nothing new since release {number}: {SAME}. It was rolled back to"
            f" {current.release_id}. To publish it again: ai-manufacturing rollback {number}."
        )
    if reason is not None:
        freshness.require_fresh(store.published_path, reason, False, on_event)
        raise NothingNewError(reason)
    judgement_inputs = judgement.list_judgement_inputs(
        basis, hold_shown_above, declarations, may_lack_estimates
    )
    reusable_build = None
    for folder in sorted((store.folder / "held").glob("*")):
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # skip a held build without a complete report
            continue
        if report["manifest"]["fingerprint"] != fingerprint:
            continue
        failed_gate = report["outcome"] == GateFailedError.__name__
        # The result of the gate depends on the declared revisions, but not on the limit for
        # estimates.
        if failed_gate and not {*map(str, declarations)} <= {*report["judged_by"]}:
            continue
        if failed_gate or report["judged_by"] == judgement_inputs:
            message = (
                f"Nothing new since build {folder.name}, which is held: {SAME}."
                f" {folder / 'report.json'} explains why. To publish it anyway:"
                f" ai-manufacturing publish {folder.name} --reason '...'. To judge it again,"
                " delete its folder and refresh."
            )
            for error in (HeldError, NoEstimatesError):
                if report["outcome"] == error.__name__:
                    raise error(message)
            raise GateFailedError(message, folder.name)
        with suppress(RefreshError):  # rebuild if the held build is damaged
            store.require_intact_held_build(folder.name)
            reusable_build = folder.name
    return reusable_build


def _find_rolled_back_release(store: Store, fingerprint: str, current_id: str) -> str | None:
    """Return the ID of a later, rolled-back release with this fingerprint, or None."""
    lines = store.read_refreshes()
    published_ids = {line["release_id"] for line in lines if line["outcome"] in PUBLISHED}
    # If a refresh crashed after publishing but before logging, only a later rollback names the
    # release.
    published_ids |= {line["instead_of"] for line in lines if line.get("instead_of")}
    for number in store.list_release_ids():
        if number in published_ids and number > current_id:
            with suppress(RefreshError):  # skip a damaged release file
                if read_manifest(store.locate_past_release(number)).fingerprint == fingerprint:
                    return number
    return None
