"""The browser that pages are tried in: Debian's chromium, or Chrome."""

import shutil

FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
