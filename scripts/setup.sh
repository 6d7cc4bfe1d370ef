# Sourced by scripts/check and scripts/test: a virtual environment, and Docker where it may be had.
# Nothing here changes a machine that has what is needed already.

say() { printf '%s\n' "$*" >&2; }

is_root() { [ "$(id -u)" = 0 ]; }

has_apt() { command -v apt-get >/dev/null 2>&1; }

apt_install() {
  say "Installing $* from the distribution's packages …"
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" >"$setup_log" 2>&1; then
    apt-get update -q >>"$setup_log" 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" >>"$setup_log" 2>&1 || {
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

# Have a Docker engine if it may be had; say what to do when it may not.
ensure_docker() {
  if is_root && has_apt; then
    command -v busybox >/dev/null 2>&1 || apt_install busybox-static || true
    # What shows from inside a container that there is no way out.
    command -v ip >/dev/null 2>&1 || apt_install iproute2 || true
    command -v iptables >/dev/null 2>&1 || apt_install iptables || true
  fi
  if docker_answers; then return 0; fi
  if [ -n "${DOCKER_HOST:-}" ]; then
    say "The Docker engine at DOCKER_HOST does not answer."
    return 0
  fi
  if ! command -v dockerd >/dev/null 2>&1; then
    if is_root && has_apt; then
      apt_install docker.io || true
    fi
  fi
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
    apt_install chromium-headless-shell || apt_install chromium || true
  else
    say "No Chromium here: tests of pages are skipped. Debian and Ubuntu: apt-get install chromium."
  fi
}

# Have the database servers that the tests run on beside SQLite, if they may be had.
ensure_databases() {
  is_root && has_apt || return 0
  command -v mariadbd >/dev/null 2>&1 || apt_install mariadb-server || true
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || apt_install postgresql || true
}

# Have what the tests of registries and of engines behind ssh run, if it may be had. The tests start
# servers of their own on loopback; the packages' own services are not wanted.
ensure_far_sides() {
  local missing=()
  command -v docker-registry >/dev/null 2>&1 || missing+=(docker-registry)
  command -v htpasswd >/dev/null 2>&1 || missing+=(apache2-utils)
  [ -x /usr/sbin/sshd ] || missing+=(openssh-server)
  if [ "${#missing[@]}" = 0 ] || ! is_root || ! has_apt; then return 0; fi
  if [ -d /run/systemd/system ]; then
    say "Not installed, for they would start at every boot: ${missing[*]}. Their tests are skipped."
    return 0
  fi
  without_services apt_install "${missing[@]}" || true
}

# Run a command that installs packages, and let none of them start its service.
without_services() {
  local status=0
  if [ ! -e /usr/sbin/policy-rc.d ]; then
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
