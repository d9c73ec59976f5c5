#!/bin/sh
# Report to kener_async with sh and curl (7.55 or newer). A sample goes to disk first and is sent then; what
# cannot be sent is kept, and sent by a later run.
#
#   heartbeat.sh TAG [UP|DOWN|DEGRADED] [SECONDS]   report a status, with a latency if there is one
#   heartbeat.sh TAG -- COMMAND [ARGUMENT]...       run COMMAND: UP if it succeeds, else DOWN, and its duration
#   heartbeat.sh --flush                            send what is kept
#
# Exit status: 0 the sample is on disk, 1 it is not (with --flush: something is left), 2 wrong usage.
#
# Settings come from the environment, or from /etc/kener-heartbeat when KENER_URL is not set:
#   KENER_URL, KENER_TOKEN   the server and the token, both required
#   KENER_STATE              the folder below; /var/lib/kener-heartbeat, or systemd's STATE_DIRECTORY
#   KENER_DEVICE             the device's name; the host's. A random suffix is added
#   KENER_KEEP               how many thousand samples are kept while the server is away; 10
#   KENER_TIMEOUT            seconds that one request may take; 60
#
# A sample passes through these files of the folder, from left to right:
#   tmp.PID -> new.ORDER.PID -> numbered.DEVICE.NUMBER -> a line of spool.DEVICE.THOUSAND -> the server
# The other files are `count` (the device and its last number), `lock.*` (one for each run that sends) and
# `bad` (the last spool file that the server called malformed).
#
# A power cut or kill -9 may end any step half way, and a command that was started may outlive the shell. So
# each step is on disk before the file of the step before is removed, each can be repeated, and no file is
# removed or replaced to which a later run could still append.

set -u
umask 077            # no other user reads the folder
export LC_ALL=C      # file names are sorted by their bytes

if [ -z "${KENER_URL:-}" ] && [ -r /etc/kener-heartbeat ]; then
    # shellcheck source=/dev/null
    . /etc/kener-heartbeat
fi
url=${KENER_URL:-}
token=${KENER_TOKEN:-}
unset KENER_TOKEN # COMMAND does not get it
state=${KENER_STATE:-${STATE_DIRECTORY:-/var/lib/kener-heartbeat}}
keep_files=${KENER_KEEP:-10}
timeout=${KENER_TIMEOUT:-60}
proc=${KENER_PROC:-/proc} # tests set it

say() { echo "heartbeat.sh: $*" >&2; }
fail() { say "$2"; exit "$1"; } # STATUS MESSAGE

# Flush files, and folders for the names in them. An old sync takes no arguments and flushes everything.
flush() { sync "$@" 2>/dev/null || sync; }

# Set `now` (seconds, wall clock) and `monotonic_json`. The wall clock may be wrong and may step; the uptime
# does not step, but counts from the boot that `boot_id` names. The server needs both to find the minute.
read_clocks() {
    now=$(date +%s)
    uptime='' boot='' monotonic_json=''
    { read -r uptime _ < "$proc/uptime" && read -r boot < "$proc/sys/kernel/random/boot_id"; } 2>/dev/null
    if [ -n "$uptime" ] && [ -n "$boot" ]; then
        monotonic_json=",\"monotonic\":$uptime,\"boot\":\"$boot\""
    fi
}

# Set `hundredths` of a second, of the uptime where there is one.
read_stopwatch() {
    read_clocks
    moment=${uptime:-$now.00}
    fraction=${moment#*.}
    hundredths=$((${moment%.*} * 100 + ${fraction#0})) # without the 0, which would make 08 a bad octal
}

# Run a command; set `status` and `latency`.
measure() {
    read_stopwatch
    began=$hundredths
    if "$@"; then status=UP; else status=DOWN; fi
    read_stopwatch
    took=$((hundredths > began ? hundredths - began : 0)) # without an uptime the clock may have stepped back
    latency=$((took / 100)).$((took / 10 % 10))$((took % 10))
}

# Write the sample to a file of its own, so that no run waits for another one.
keep() {
    read_clocks
    for newest in "$state"/new.*; do :; done # the last in the order of names
    newest=${newest##*/new.}
    order=${newest%%.*}
    [ "$order" != '*' ] || order=1000000     # no file matches the pattern
    order=$((order + 1))                     # behind all others, whatever the clock says

    draft=$state/tmp.$$
    printf '"tag":"%s","status":"%s","latency":%s,"timestampInSeconds":%s%s}' \
        "$tag" "$status" "$latency" "$now" "$monotonic_json" > "$draft" &&
        flush "$draft" &&
        mv "$draft" "$state/new.$order.$$" &&
        flush "$state"
}

# A sample that is sent twice must not count twice, also if the clock has stepped in between: the server
# identifies a sample by the device and a sequence number.
number_samples() {
    read_count
    for file in "$state"/numbered.*; do # left by a run that was killed
        if [ -e "$file" ]; then append "$file" || return 1; fi
    done
    for file in "$state"/new.*; do
        if [ -e "$file" ]; then number "$file" || return 1; fi
    done
}

# Set `device` and `count`. A folder that is new, or has lost its count, is a new device to the server.
read_count() {
    device='' count=''
    { read -r device count < "$state/count"; } 2>/dev/null
    case $count in
    '' | *[!0-9]*)
        random=$(od -An -N4 -tx1 /dev/urandom 2>/dev/null || cat /proc/sys/kernel/random/uuid)
        device=$(echo "${KENER_DEVICE:-$(uname -n)}-$random" | tr -cd 'A-Za-z0-9._~-')
        count=0
        ;;
    esac
}

# The count is on disk before its number is used: a number that is never used is only a gap, but one that is
# used twice would lose a sample.
number() { # FILE
    count=$((count + 1))
    echo "$device $count" > "$state/count.new" &&
        flush "$state/count.new" &&
        mv "$state/count.new" "$state/count" &&
        flush "$state" || return 1
    numbered=$state/numbered.$device.$count
    mv "$1" "$numbered" && append "$numbered"
}

# Print the spool file of a sample; a thousand samples share one.
spool_file() { # DEVICE.NUMBER
    printf '%s/spool.%s.%09d' "$state" "${1%.*}" $((${1##*.} / 1000))
}

# Append a numbered sample to its spool file. Doing it twice is harmless: both lines have the same number.
append() { # FILE
    spool=$(spool_file "${1##*/numbered.}")
    if [ -s "$spool" ] && [ "$(tail -c 2 "$spool")" != '}' ]; then
        echo >> "$spool" # after a line that was cut short
    fi
    printf '{"seq":%s,%s\n' "${1##*.}" "$(cat "$1")" >> "$spool" &&
        flush "$spool" "$state" &&
        rm -f "$1"
}

# POST a spool file as one batch; print the start of the answer and the HTTP status on one line.
post() { # FILE
    read_clocks
    name=${1##*/spool.}
    lines=$(cat "$1") || return 1
    config=/dev/fd/3 # the token is read from there, because arguments are visible to everybody in `ps`
    [ -e /dev/fd ] || config=/proc/self/fd/3
    printf '{"device":"%s","sentAt":%s%s}\n%s\n' "${name%.*}" "$now" "$monotonic_json" "$lines" |
        curl --silent --show-error --config "$config" --max-time "$timeout" \
            --header Content-Type:application/x-ndjson --header Expect: \
            --data-binary @- --write-out '\n%{http_code}\n' "${url%/}/api/status/batch" 3<<END |
header = "Authorization: Bearer $token"
END
        cut -c 1-300 | tail -n 2 | tr '\n' ' '
}

# Send a spool file and empty it. Fails when the samples must be sent again.
send() { # FILE
    answer=$(post "$1")
    case $answer in
    '{"status":200,"accepted":'*'"rejected":0,'*' 200 ') ;;
    '{"status":200,"accepted":'*' 200 ') say "some samples were rejected: $answer" ;;
    '{"error":'*' 400 ' | '{"error":'*' 413 ') # sent again, it would be refused again, and hold up the rest
        cp "$1" "$state/bad" || return 1
        say "refused, copied to $state/bad: $answer"
        ;;
    *)
        say "kept for a later run: $answer"
        return 1
        ;;
    esac
    : > "$1" || return 1
    # The current file stays, because a command of a run that was killed may still append to it.
    [ "$1" = "$(spool_file "$device.$count")" ] || rm -f "$1"
}

# Send all spool files, oldest first, until one fails.
send_all() {
    set -- "$state"/spool.*
    while [ $# -gt "$keep_files" ]; do
        say "the spool is full: dropping the oldest samples"
        rm -f "$1"
        shift
    done
    for file; do
        if [ -s "$file" ]; then send "$file" || return 1; fi
    done
}

# Whether a run is still going on. Process ids are reused, so its name is compared too where there is a /proc.
is_running() { # PID NAME
    if [ -d /proc/self ]; then
        tr '\0' ' ' < "/proc/$1/cmdline" | grep -qF "$2"
    else
        kill -0 "$1"
    fi 2>/dev/null
}

# Whether no other run holds a lock. Locks of runs that have ended are removed; to a run with a lower process
# id this one gives way, so that of two that start together one goes on.
is_alone() {
    alone=true
    for other in "$state"/lock.*; do # lock.PID.TIME.NAME
        [ "$other" != "$lock" ] || continue
        owner=${other##*/lock.}
        if is_running "${owner%%.*}" "${owner#*.*.}"; then
            alone=false
            [ $$ -lt "${owner%%.*}" ] || rm -f "$lock"
        else
            rm -f "$other"
        fi
    done
    $alone
}

# A run that has written its lock, and sees no other one after that, is alone.
take_lock() { is_alone && : > "$lock" && is_alone; }

# Number and send what is kept. Fails when something is left.
deliver() {
    lock=$state/lock.$$.$(date +%s).${0##*/}
    if ! { take_lock || { sleep 1 && take_lock; } || { sleep 2 && take_lock; }; }; then
        rm -f "$lock"
        say "kept: another run is sending"
        return 1
    fi
    number_samples || say "cannot write to $state"
    send_all
    sent=$?
    rm -f "$lock"
    return $sent
}

[ -n "$url" ] || fail 2 "KENER_URL is required"
case $token in
'' | *[!A-Za-z0-9._~+/=-]*) fail 2 "KENER_TOKEN is missing or contains an invalid character" ;;
esac
mkdir -p "$state" || fail 1 "cannot create the folder $state"

if [ "${1:-}" = --flush ]; then
    deliver
    exit
fi

tag=${1:-}
status=${2:-UP}
latency=${3:-0}
case $tag in
'' | *[!A-Za-z0-9._~-]*) fail 2 "usage: heartbeat.sh TAG [STATUS] [SECONDS] | TAG -- COMMAND | --flush" ;;
esac
[ ${#tag} -le 64 ] || fail 2 "TAG is longer than 64 characters"
if [ "$status" = -- ]; then
    [ $# -gt 2 ] || fail 2 "the command is missing"
    shift 2
    measure "$@"
fi
case $status in
UP | DOWN | DEGRADED) ;;
*) fail 2 "the status must be UP, DOWN or DEGRADED" ;;
esac
case $latency in
'' | *[!0-9.]* | .* | *. | *.*.* | 0[0-9]*) fail 2 "the latency must be a number of seconds, such as 0.25" ;;
esac

# On a full disk, sending may make room.
keep || { deliver && keep; } || fail 1 "cannot keep the sample in $state"
deliver
exit 0
