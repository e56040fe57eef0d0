"""Why the app paused a partner, as a sentence for pages and mails."""

from __future__ import annotations

from app.partners.models import PauseCode

PAUSE_SENTENCES = {
    PauseCode.GONE: "{url} returned 410 (gone).",
    PauseCode.CREDENTIALS: "{count} responses in a row rejected the key or the URL ({status}).",
}
