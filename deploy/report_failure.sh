#!/bin/sh
# Report that a unit of this user failed: into the journal, and by mail if MAILTO is set. Called by ai-manufacturing-failure.service.
unit=$1
said=$(systemctl --user status --no-pager --full --lines=20 "$unit" 2>&1)
printf '%s\n' "$unit failed on $(hostname). What to do: docs/refresh.md. $said" | systemd-cat -t ai-manufacturing -p err
if [ -n "${MAILTO:-}" ]; then
    printf '%s\n' "$said" | mail -s "$unit failed on $(hostname)" "$MAILTO"
fi
