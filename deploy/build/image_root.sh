#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# deploy/build/image_root.sh PROGRAMS DIR: creates DIR with the contents of the image, and fails if DIR exists. Contents:
#   - tensorferryd and tensorferry of the directory PROGRAMS
#   - the libraries that they need, and the CAs that --tls trusts
#   - licenses, and the dpkg records of the Debian packages, where vulnerability scanners look for them
set -euo pipefail

fail() {
  printf 'image_root.sh: %s\n' "$*" >&2
  exit 1
}

(($# == 2)) || fail "usage: image_root.sh PROGRAMS DIR"
programs=("$1/tensorferryd" "$1/tensorferry")
root=$2
license=$(dirname "${BASH_SOURCE[0]}")/../../LICENSE
authorities=/etc/ssl/certs/ca-certificates.crt
[[ -f $authorities ]] || fail "$authorities is missing: run deploy/packages.sh image"

umask 022
mkdir "$root"
mkdir -p "$root/models" "$root/var/lib/dpkg/status.d"
install -D --strip --target-directory="$root/usr/bin" "${programs[@]}"
install -D --mode=644 --target-directory="$root/usr/share/doc/tensorferry" "$license"

linked=$(ldd "${programs[@]}")
if missing=$(grep 'not found' <<<"$linked"); then fail "a library is missing: $missing"; fi
mapfile -t files < <(sed -nE 's/^.*[[:space:]](\/[^ ]+) \(0x.*$/\1/p' <<<"$linked" | sort -u)
files+=(/etc/os-release)
for file in "${files[@]}" "$authorities"; do
  install -D --mode="$(stat -L -c %a "$file")" "$file" "$root$file"
done

# /lib is a link to /usr/lib, and packages name one of the two: query both, and ignore the names that are not found.
mapfile -t packages < <(
  { dpkg-query --search "${files[@]}" "${files[@]/#//usr}" 2>/dev/null || true; } | sed -n 's/: .*//p' | sort -u
)
for package in "${packages[@]}" ca-certificates; do
  name=${package%%:*}
  dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$name"
  install -D --mode=644 "/usr/share/doc/$name/copyright" "$root/usr/share/doc/$name/copyright"
done

# Equal files give an equal layer: remove the times.
find "$root" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
du -sh "$root" | sed 's/\t.*/ in the image/'
