#!/bin/sh
# Understands what the entry point of registry:2's image understands: nothing, a configuration file, or a command.
set -eu

case ${1:-} in
*.yml | *.yaml) exec entrepot serve "$@" ;;
registry) shift && exec entrepot "$@" ;;
'' | -*) ;;
*) exec entrepot "$@" ;;
esac

# No command: the configuration file that is mounted where registry:2 or registry:3 looks for it decides alone.
for file in "${REGISTRY_CONFIGURATION_PATH:-}" /etc/docker/registry/config.yml /etc/distribution/config.yml; do
    if [ -n "$file" ] && [ -e "$file" ]; then
        exec entrepot serve "$file" "$@"
    fi
done

# No file either: an admin account, everything private; the first password is printed once.
exec entrepot serve --listen "$LISTEN" --data /var/lib/registry "$@"
