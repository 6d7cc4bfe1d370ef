# Sourced by scripts/check and scripts/test: a virtual environment, and Docker where it may be had.
# Nothing here changes a machine that has what is needed already.

say() { printf '%s\n' "$*" >&2; }

is_root() { [ "$(id -u)" = 0 ]; }

has_apt() { command -v apt-get >/dev/null 2>&1; }

apt_install() {
  say "Installing $* from the distribution's packages …"
  local command=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends)
  if ! "${command[@]}" "$@" >"$setup_log" 2>&1; then
    apt-get update -q >>"$setup_log" 2>&1 || true
    "${command[@]}" "$@" >>"$setup_log" 2>&1 || {
      tail -n 5 "$setup_log" >&2
      return 1
    }
  fi
}

# Make .venv with this project and tox; again only when pyproject.toml or this file changed.
ensure_venv() {
  local python=${PYTHON:-python3} stamp
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11."
    exit 3
  }
  stamp=$(cat pyproject.toml scripts/setup.sh)
  if [ ! -x .venv/bin/python ] || [ "$(cat .venv/stamp 2>/dev/null)" != "$stamp" ]; then
    say "Preparing .venv …"
    if ! "$python" -m venv .venv 2>/dev/null; then
      is_root && has_apt && apt_install python3-venv
      "$python" -m venv .venv
    fi
    .venv/bin/python -m pip install -q --disable-pip-version-check -e '.[all]' 'tox-uv>=1.20' >"$setup_log" 2>&1 || {
      tail -n 20 "$setup_log" >&2
      exit 3
    }
    printf '%s' "$stamp" >.venv/stamp
  fi
}

docker_answers() {
  .venv/bin/python - <<'PY' >/dev/null 2>&1
import docker
docker.from_env(timeout=5).ping()
PY
}

# What is run beside Python, each with the Debian package that brings it: programs, and libraries by
# their file. tests/unit/test_setup.py holds these tables against what code and tests call.
docker_parts='
  containerd               containerd
  docker                   docker.io
  dockerd                  docker.io
'
# What a container is made of, and what shows from inside that there is no way out.
engine_parts='
  busybox                  busybox-static
  ip                       iproute2
  iptables                 iptables
'
# Database servers beside SQLite, what the browser shows text in and its driver is linked with, and
# a bare Debian.
test_parts='
  LiberationSans-Regular.ttf fonts-liberation
  debootstrap              debootstrap
  initdb                   postgresql
  libatomic.so.1           libatomic1
  mariadbd                 mariadb-server
  slirp4netns              slirp4netns
  ssh                      openssh-client
'
# The far sides of registries, of engines behind ssh and of CTFd: the tests start their own.
service_parts='
  docker-registry          docker-registry
  htpasswd                 apache2-utils
  redis-server             redis-server
  sshd                     openssh-server
'

# Whether a program is here, also where only root looks, or a library.
has_part() {
  local PATH=$PATH:/usr/sbin:/sbin
  case $1 in
    lib*.so*) ldconfig -p | grep -F "$1 " >/dev/null ;;
    *.ttf) find /usr/share/fonts -name "$1" 2>/dev/null | grep . >/dev/null ;;
    initdb) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

# The packages of those lines of a table whose part is missing.
missing_packages() {
  local part package
  while read -r part package; do
    if [ -n "$part" ] && ! has_part "$part"; then printf '%s\n' "$package"; fi
  done <<<"$1"
}

# Install what is missing of a table, if it may be had.
ensure_parts() {
  local missing
  mapfile -t missing < <(missing_packages "$1" | sort -u)
  if [ "${#missing[@]}" = 0 ]; then return 0; fi
  if ! is_root || ! has_apt; then
    say "Not here: ${missing[*]} (packages of Debian and Ubuntu). What needs them is skipped."
    return 0
  fi
  without_services apt_install_each "${missing[@]}"
}

# Install packages together, or one by one: a distribution that lacks one has the others.
apt_install_each() {
  local package
  apt_install "$@" && return 0
  for package; do apt_install "$package" || true; done
}

# Have a Docker engine if it may be had; say what to do when it may not.
ensure_docker() {
  ensure_parts "$engine_parts"
  if docker_answers; then return 0; fi
  if [ -n "${DOCKER_HOST:-}" ]; then
    say "The Docker engine at DOCKER_HOST does not answer."
    return 0
  fi
  ensure_parts "$docker_parts"
  # Some releases have the client apart.
  if ! has_part docker && is_root && has_apt; then apt_install docker-cli || true; fi
  if is_root && command -v dockerd >/dev/null 2>&1; then
    start_dockerd
  else
    say "No Docker engine here: install Docker (Debian and Ubuntu: apt-get install docker.io) and"
    say "start it, or run this as root and it is done for you. Going on without it."
  fi
}

# Have a browser for the tests of pages, if it may be had.
ensure_chromium() {
  local name
  for name in chromium-headless-shell chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then return 0; fi
  done
  if is_root && has_apt; then
    without_services apt_install chromium-headless-shell || without_services apt_install chromium || true
  else
    say "No Chromium here: tests of pages are skipped. Debian and Ubuntu: apt-get install chromium."
  fi
}

# Have everything that tests run beside Docker and the browser, if it may be had.
ensure_test_parts() {
  local wanted=$test_parts
  if [ -d /run/systemd/system ]; then
    local services
    services=$(missing_packages "$service_parts" | xargs)
    [ -z "$services" ] ||
      say "Not installed, for they would start at every boot: $services. Their tests are skipped."
  else
    wanted=$wanted$service_parts
  fi
  ensure_parts "$wanted"
}

# Run a command that installs packages, and let none of them start its service.
without_services() {
  local status=0
  if [ ! -e /usr/sbin/policy-rc.d ] && [ ! -d /run/systemd/system ]; then
    service_policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >"$service_policy"
    chmod 755 "$service_policy"
  fi
  "$@" || status=$?
  allow_services
  return "$status"
}

allow_services() {
  if [ -n "$service_policy" ]; then rm -f "$service_policy"; fi
  service_policy=
}

start_dockerd() {
  if [ -d /run/systemd/system ]; then
    systemctl start docker >>"$setup_log" 2>&1 || true
  else
    say "Starting dockerd for the time of this run …"
    # A session of its own: Ctrl-C is for the run, which still needs Docker to clean up.
    setsid dockerd >"$setup_dir/dockerd.log" 2>&1 &
    dockerd_pid=$!
  fi
  local tries=0
  until docker_answers; do
    tries=$((tries + 1))
    if [ "$tries" -ge 60 ] || { [ -n "$dockerd_pid" ] && ! kill -0 "$dockerd_pid" 2>/dev/null; }; then
      say "dockerd did not come up; its last words:"
      tail -n 5 "$setup_dir/dockerd.log" >&2 2>/dev/null || true
      return 0
    fi
    sleep 0.5
  done
}

# End what was started here, by pid; instances of a run are swept by the run itself.
finish() {
  allow_services
  if [ -n "$dockerd_pid" ]; then
    kill "$dockerd_pid" 2>/dev/null || true
    wait "$dockerd_pid" 2>/dev/null || true
  fi
  rm -rf "$setup_dir"
}

setup_dir=$(mktemp -d)
setup_log=$setup_dir/log
dockerd_pid=
service_policy=
trap finish EXIT
trap 'exit 130' INT # once what runs has ended: pip, for one, tells Ctrl-C as a failure
