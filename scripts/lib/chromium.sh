# shellcheck shell=bash
# Chromium and its driver, for testing the dashboard in a browser: found or installed.

require_chromium() {
    if chromium_is_there; then return 0; fi
    if apt_install chromium chromium-driver && chromium_is_there; then return 0; fi
    die "Chromium and its driver (the programs chromium and chromedriver) were not found and could not be installed" \
        "Install both, of the same version, and put them on PATH (Debian: apt-get install chromium chromium-driver;" \
        "macOS: brew install --cask chromium chromedriver), then run this script again." \
        "To leave the browser out: scripts/test --workspace --exclude futurecall-browser"
}

chromium_is_there() {
    have chromium && have chromedriver
}
