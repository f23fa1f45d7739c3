# What deploy/up, deploy/pins and tests/run share: find a Python, get uv, make .venv. Sourced by bash (3.2 or later).
# The caller sets $root to the repository's root. Everything here speaks on stderr, so that stdout stays the command's.

UV_PIN=0.13.9          # the uv that is fetched where none is installed
UV_AT_LEAST="0 9"      # an installed uv this new will do: it knows --torch-backend and pip install --group
NEEDED_GB=10           # the CUDA build of torch with all else, once downloaded and once unpacked

say() { printf 'fediward: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# Does interpreter $1 run, and is it a CPython >= 3.12? Prints its rank (lower is better) and where it really is: a pyenv
# shim is another Python in another folder.
# 3.13 and 3.12 have wheels of everything; a Python newer than we know, or a free-threaded one, may not: last.
rank_python() {
  "$1" -I -c '
import sys, sysconfig
v = sys.version_info
if sys.implementation.name != "cpython" or v < (3, 12):
    sys.exit(1)
rank = {13: 1, 12: 2, 14: 3}.get(v.minor, 4)
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    rank = 9
print(rank, sys.executable)
' 2>/dev/null </dev/null
}

# Read interpreters, one a line; print the best of those that will do, or nothing.
best_python() {
  local candidate answer rank best="" best_rank=99
  while IFS= read -r candidate; do
    [ -x "$candidate" ] || continue
    answer=$(rank_python "$candidate") || continue
    rank=${answer%% *}
    case $rank in '' | *[!0-9]*) continue ;; esac
    if [ "$rank" -lt "$best_rank" ]; then
      best_rank=$rank best=${answer#* }
    fi
  done
  [ -n "$best" ] && printf '%s\n' "$best"
}

path_pythons() {
  local name
  for name in python3 python3.13 python3.12 python3.14 python; do
    type -P -a "$name" || true
  done
}

pyenv_pythons() {
  local folder
  for folder in "${HOME:-/nonexistent}"/.pyenv/versions/*; do
    printf '%s\n' "$folder/bin/python3" "$folder/bin/python"
  done
}

find_python() {
  path_pythons | best_python || pyenv_pythons | best_python
}

# How to fetch uv with pip: "venv PYTHON" or "pip PYTHON", or nothing. Any Python can, not just the one that will run
# fediward ($1), and Debian's comes without venv.
find_fetcher() {
  local candidate
  while IFS= read -r candidate; do
    if "$candidate" -I -c 'import venv, ensurepip' >/dev/null 2>&1 </dev/null; then
      printf 'venv %s\n' "$candidate"
      return
    fi
  done < <(printf '%s\n' "$1" && path_pythons)
  while IFS= read -r candidate; do
    if "$candidate" -m pip --version >/dev/null 2>&1 </dev/null; then
      printf 'pip %s\n' "$candidate"
      return
    fi
  done < <(printf '%s\n' "$1" && path_pythons)
}

# Is $1 a uv that is new enough?
uv_will_do() {
  local version major minor
  version=$("$1" --version 2>/dev/null </dev/null) || return 1
  version=${version#uv }
  version=${version%% *}
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%.*}
  case $major$minor in '' | *[!0-9]*) return 1 ;; esac
  # shellcheck disable=SC2086 # two words on purpose
  set -- $UV_AT_LEAST
  [ "$major" -gt "$1" ] || { [ "$major" -eq "$1" ] && [ "$minor" -ge "$2" ]; }
}

# Sets $uv: an installed one, the private one, or one that pip fetches into the private folder .uv (with the machine's
# own pip configuration). $1: the Python to fetch it with.
get_uv() {
  local fetcher how
  export UV_PYTHON_DOWNLOADS=never # the Python is one that find_python found
  uv=$(type -P uv || true)
  if [ -n "$uv" ] && uv_will_do "$uv"; then return; fi
  uv=$root/.uv/tool/bin/uv
  if uv_will_do "$uv"; then return; fi
  fetcher=$(find_fetcher "$1")
  how=${fetcher%% *}
  fetcher=${fetcher#* }
  say "fetching uv $UV_PIN, which installs the rest, into .uv"
  case $how in
    venv)
      "$fetcher" -m venv --clear "$root/.uv/tool" >&2 &&
        PIP_USER=0 "$root/.uv/tool/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_PIN" >&2
      ;;
    pip)
      PIP_USER=0 "$fetcher" -m pip install --quiet --disable-pip-version-check --upgrade \
        --target "$root/.uv/tool" "uv==$UV_PIN" >&2
      ;;
    *)
      die "$1 has neither venv nor pip to fetch uv with: install them (on Debian and Ubuntu: apt install python3-venv), or install uv, and run this again."
      ;;
  esac || die "could not fetch uv (pip's own words are above). If they speak of a connection, this machine cannot reach its package index: check the network, the proxy or pip's configuration, then run this again."
  uv_will_do "$uv" || die "uv was fetched into $root/.uv/tool but does not run on this machine: install uv another way, so that it is on PATH, and run this again."
}

# uv does not read pip's configuration: hand over the index and the certificates, unless uv was told its own.
share_pip_settings() {
  local index cert
  if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    index=${PIP_INDEX_URL:-$("$1" -m pip config get global.index-url 2>/dev/null </dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX=$index
  fi
  if [ -z "${SSL_CERT_FILE:-}" ]; then
    cert=${PIP_CERT:-$("$1" -m pip config get global.cert 2>/dev/null </dev/null || true)}
    [ ! -f "$cert" ] || export SSL_CERT_FILE=$cert
  fi
}

digest() {
  if type -P sha256sum >/dev/null; then
    sha256sum
  elif type -P shasum >/dev/null; then
    shasum -a 256
  else
    cksum
  fi | cut -d ' ' -f 1
}

# What .venv must have been made from to be left alone. The place counts: a venv does not survive being moved.
wanted_stamp() {
  printf '%s %s\n' "$(cat "$root/pyproject.toml" "$root/deploy/constraints.txt" "$root/deploy/setup.sh" | digest)" "$root"
}

venv_python_will_do() { [ -x "$venv/bin/python" ] && rank_python "$venv/bin/python" >/dev/null; }

venv_is_ready() {
  [ ! -e "$unfinished" ] && [ -f "$venv/fediward-stamp" ] && [ -x "$venv/bin/fediward" ] &&
    [ "$(cat "$venv/fediward-stamp")" = "$(wanted_stamp)" ] &&
    [ "${UV_TORCH_BACKEND:-$(torch_backend_of_venv)}" = "$(torch_backend_of_venv)" ] && venv_python_will_do
}

# The build of torch that .venv was made with, so that it is asked for once and kept afterwards.
torch_backend_of_venv() { cat "$venv/fediward-torch-backend" 2>/dev/null || true; }

free_gb() { df -Pk "$root" 2>/dev/null | awk 'NR == 2 { print int($4 / 1048576) }'; }

say_what_comes() {
  local free
  if [ ! -e "$unfinished" ] && [ -f "$venv/fediward-torch-backend" ] && [ "$(torch_backend_of_venv)" = "${UV_TORCH_BACKEND:-}" ]; then
    say "bringing .venv up to date"
    return
  fi
  say "setting up in .venv with $("$python" -V 2>&1) ($python)"
  case ${UV_TORCH_BACKEND:-}:$(uname -s) in
    cpu:*) say "torch comes in its CPU build: about 1 GB in all" ;;
    :Linux) say "torch comes with CUDA, about 5 GB on disk, which takes a while the first time. Without an NVIDIA GPU, stop this and run: UV_TORCH_BACKEND=cpu $(printf %q "$0")" ;;
    *) say "torch takes a while the first time" ;;
  esac
  free=$(free_gb)
  if [ -n "$free" ] && [ "$free" -lt "$NEEDED_GB" ]; then
    say "only $free GB are free here, and the CUDA build needs up to $NEEDED_GB GB: if it fails for want of space, that is why"
  fi
}

# One set-up at a time in one clone: another waits for it and then finds the work done.
lock_setup() {
  local owner said=""
  mkdir -p "$root/.uv"
  until mkdir "$lock" 2>/dev/null; do
    owner=$(cat "$lock/pid" 2>/dev/null || true)
    if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
      rm -rf "$lock"
      continue
    fi
    [ -n "$said" ] || say "waiting for another set-up in this folder (process ${owner:-unknown}; if there is none, remove $lock)"
    said=yes
    sleep 1
  done
  printf '%s\n' "$$" >"$lock/pid"
  trap 'rm -rf "$lock"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

unlock_setup() {
  rm -rf "$lock"
  trap - EXIT INT TERM
}

# Make $venv what pyproject.toml and deploy/constraints.txt say; return at once when it is.
setup() {
  local python pins backend
  venv=$root/.venv
  unfinished=$root/.uv/unfinished
  lock=$root/.uv/lock
  if venv_is_ready; then return; fi
  lock_setup
  if venv_is_ready; then
    unlock_setup
    return
  fi

  python=$(find_python) ||
    die "needs Python 3.12 or newer (3.13 is best) and found none on PATH or in ~/.pyenv/versions: install one and run this again."
  backend=$(torch_backend_of_venv)
  if [ -z "${UV_TORCH_BACKEND:-}" ] && [ -n "$backend" ]; then export UV_TORCH_BACKEND=$backend; fi
  say_what_comes
  get_uv "$python"
  share_pip_settings "$python"

  # A venv that is half made, moved, of an old Python or with another torch is not mended but made anew.
  if [ -e "$unfinished" ] || ! venv_python_will_do || [ "${UV_TORCH_BACKEND:-}" != "$backend" ] ||
    { [ -f "$venv/fediward-stamp" ] && [ "$(cut -d ' ' -f 2- "$venv/fediward-stamp")" != "$root" ]; }; then
    : >"$unfinished"
    "$uv" venv --quiet --clear --no-project --python "$python" "$venv" >&2 || die "uv could not make $venv (its own words are above)."
  fi
  : >"$unfinished"
  rm -f "$venv/fediward-stamp"
  printf '%s' "${UV_TORCH_BACKEND:-}" >"$venv/fediward-torch-backend"

  # Another build of torch brings other nvidia packages, which it pins itself.
  pins=$root/deploy/constraints.txt
  if [ -n "${UV_TORCH_BACKEND:-}" ]; then
    pins=$venv/fediward-constraints.txt
    grep -v -E '^(nvidia-|cuda-|triton)' "$root/deploy/constraints.txt" >"$pins"
  fi
  (cd "$root" && "$uv" pip install --python "$venv/bin/python" --constraints "$pins" --editable '.[clip,exchanges]' --group dev >&2) ||
    die "uv could not install the packages (its own words are above). If they speak of a connection or a name that does not resolve, this machine cannot reach its package index: check the network or the proxy and run this again; what was downloaded is kept."
  wanted_stamp >"$venv/fediward-stamp"
  rm -f "$unfinished"
  unlock_setup
  say "set up; from now on this takes a moment"
}
