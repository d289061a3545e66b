# What tests/run and benches/peers/run install, into $S3SYNC_TESTS_DIR, and how they speak. Sourced by both, at the root of the checkout, with `self` set.

root=${S3SYNC_TESTS_DIR:-/var/tmp/s3sync-tests}
mkdir -p "$root/bin" "$root/log"

say() { printf '%s: %s\n' "$self" "$*" >&2; }
die() { say "$*"; exit 1; }

# Installs Debian packages, where this is Debian and we may.
packages() {
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 0
  say "installing Debian packages: $*"
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"; } </dev/null >"$root/log/apt-$1" 2>&1 \
    || { tail -n 20 "$root/log/apt-$1" >&2; die "could not install $*"; }
}

# Name of a command, name of its Debian package.
need() {
  command -v "$1" >/dev/null && return
  packages "$2"
  command -v "$1" >/dev/null || die "$1 is not on this machine: install it (Debian: $2) and try again"
}

# A real S3 server, pinned by tests/minio/go.sum.
install_minio() {
  local stamp; stamp=$(cat tests/minio/go.mod tests/minio/go.sum | sha256sum | cut -c1-16)
  [ -x "$root/bin/minio" ] && [ "$(cat "$root/bin/minio.stamp" 2>/dev/null)" = "$stamp" ] && return
  (cd tests/minio && CGO_ENABLED=0 go build -mod=readonly -ldflags='-s -w' -o "$root/bin/minio.new" github.com/minio/minio) || return 1
  mv "$root/bin/minio.new" "$root/bin/minio"
  echo "$stamp" >"$root/bin/minio.stamp"
}

# Other S3 servers, pinned by tests/servers/go.sum.
install_servers() {
  local stamp; stamp=$(cat tests/servers/go.mod tests/servers/go.sum tests/servers/gofakes3/main.go | sha256sum | cut -c1-16)
  [ -x "$root/bin/versitygw" ] && [ "$(cat "$root/bin/servers.stamp" 2>/dev/null)" = "$stamp" ] && return
  (cd tests/servers && CGO_ENABLED=0 go build -mod=readonly -ldflags='-s -w' -o "$root/bin/" github.com/versity/versitygw/cmd/versitygw ./gofakes3) || return 1
  echo "$stamp" >"$root/bin/servers.stamp"
}

# A virtual environment of Python: its folder under $root, and requirements whose files lie side by side.
install_venv() {
  local folder=$root/$1 requirements=$2 stamp
  stamp=$(cat "$(dirname "$requirements")"/requirements*.txt | sha256sum | cut -c1-16)
  [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ] && return
  rm -rf "$folder"
  if ! python3 -m venv "$folder"; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3-venv
    python3 -m venv --clear "$folder" || return 1
  fi
  "$folder/bin/pip" install -q --disable-pip-version-check -r "$requirements" || return 1
  echo "$stamp" >"$folder/stamp"
}

# Installs one at a time, also among several checkouts on one machine.
lock_root() {
  exec 9>"$root.lock"
  flock 9
}
