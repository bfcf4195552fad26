# shellcheck shell=bash
# The combinations of futurecall-runtime's features that must compile, in addition to the default (all of them).

# Runs a function with each combination, a list separated by commas. The last one is empty: no feature at all.
with_each_feature_set() {
    local features
    for features in sqlite,macros,discovery postgres,macros,discovery sqlite,postgres sqlite postgres macros discovery ""; do
        say "futurecall-runtime with ${features:-no feature}"
        "$@" "$features"
    done
}
