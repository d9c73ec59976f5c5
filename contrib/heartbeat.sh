#!/bin/sh
# Reports to kener_async with sh and curl (7.55 or newer); what cannot be sent is kept, and sent by a later run.
#   heartbeat.sh TAG [UP|DOWN|DEGRADED] [SECONDS]   report, with a latency if there is one
#   heartbeat.sh TAG -- COMMAND [ARGUMENT]...       run it: UP if it succeeds, else DOWN, and how long it took
#   heartbeat.sh --flush                            send what is kept
# KENER_URL, KENER_TOKEN and the rest (docs/edge-devices.md) come from the environment or /etc/kener-heartbeat.
# Exit status 0: the sample is on disk. kill -9 may leave any step half done, and commands that were begun may
# still run then: so nothing is removed or replaced that a later run could still add to.
set -u; umask 077; LC_ALL=C; export LC_ALL
# shellcheck source=/dev/null
[ -n "${KENER_URL:-}" ] || [ ! -r /etc/kener-heartbeat ] || . /etc/kener-heartbeat
url=${KENER_URL:-} token=${KENER_TOKEN:-} proc=${KENER_PROC:-/proc}
state=${KENER_STATE:-${STATE_DIRECTORY:-/var/lib/kener-heartbeat}}
unset KENER_TOKEN # which is not for COMMAND

say() { echo "heartbeat.sh: $*" >&2; }; die() { say "$2"; exit "$1"; }
durable() { sync "$@" 2>/dev/null || sync; } # an old sync knows no files
clocks() { # What they show now; `uptime` never steps, and counts from `boot`.
    now=$(date +%s) uptime='' boot='' stamp=''
    { read -r uptime _ < "$proc/uptime"; read -r boot < "$proc/sys/kernel/random/boot_id"; } 2>/dev/null
    [ -z "$boot" ] || [ -z "$uptime" ] || stamp=",\"monotonic\":$uptime,\"boot\":\"$boot\""
    moment=${uptime:-$now.00}; hundredths=${moment#*.}; hundredths=$((${moment%.*} * 100 + ${hundredths#0}))
}
measure() {
    clocks; began=$hundredths
    if "$@"; then status=UP; else status=DOWN; fi
    clocks; took=$((hundredths > began ? hundredths - began : 0))
    latency=$((took / 100)).$((took / 10 % 10))$((took % 10))
}
keep() { # A sample is a file of its own at first, so that nobody waits for anybody.
    clocks; for last in "$state"/new.*; do :; done; last=${last##*/new.}; last=${last%%.*}
    [ "$last" != '*' ] || last=1000000; file=$state/new.$((last + 1)).$$ # behind all, whatever the clock says
    printf '"tag":"%s","status":"%s","latency":%s,"timestampInSeconds":%s%s}' "$tag" "$status" "$latency" "$now" \
        "$stamp" > "$state/tmp.$$" && durable "$state/tmp.$$" && mv "$state/tmp.$$" "$file" && durable "$state"
}
runs() { if [ -d /proc/self ]; then tr '\0' ' ' < "/proc/$1/cmdline" | grep -qF "$2"; else kill -0 "$1"; fi 2>/dev/null; }
look() { # Whether no other run that still goes on has its flag up; to one with a lower process id we give way.
    free=true
    for other in "$state"/lock.*; do
        [ "$other" != "$flag" ] || continue
        owner=${other##*/lock.}; runs "${owner%%.*}" "${owner#*.*.}" || { rm -f "$other"; continue; }
        free=false; [ $$ -lt "${owner%%.*}" ] || rm -f "$flag"
    done
    $free
}
lock() { look && : > "$flag" && look; } # whoever raises a flag and then sees no other is alone
collect() { # Numbers the samples: what is sent again then changes nothing, also if the clock has stepped meanwhile.
    device='' count=''; { read -r device count < "$state/count"; } 2>/dev/null
    case $count in '' | *[!0-9]*) # a folder that is new, or has lost count, is a new device to the server
        random=$(od -An -N4 -tx1 /dev/urandom 2>/dev/null || cat /proc/sys/kernel/random/uuid)
        device=$(echo "${KENER_DEVICE:-$(uname -n)}-$random" | tr -cd 'A-Za-z0-9._~-') count=0 ;; esac
    for file in "$state"/numbered.*; do [ ! -e "$file" ] || append "$file" || return; done
    for file in "$state"/new.*; do [ ! -e "$file" ] || number "$file" || return; done
}
number() { # On disk before it is used: a number that is lost is a gap, one used twice would lose a sample.
    count=$((count + 1)); numbered=$state/numbered.$device.$count
    echo "$device $count" > "$state/count.new" && durable "$state/count.new" && mv "$state/count.new" "$state/count" &&
        durable "$state" && mv "$1" "$numbered" && append "$numbered"
}
spool() { printf '%s/spool.%s.%09d' "$state" "${1%.*}" $((${1##*.} / 1000)); } # DEVICE.NUMBER: a thousand a file
append() { # As often as it takes: the number makes it one sample.
    to=$(spool "${1##*/numbered.}")
    [ ! -s "$to" ] || [ "$(tail -c 2 "$to")" = '}' ] || echo >> "$to" # after a line that was cut short
    printf '{"seq":%s,%s\n' "${1##*.}" "$(cat "$1")" >> "$to" && durable "$to" "$state" && rm -f "$1"
}
send() { # The token goes where `ps` does not show it.
    from=${1##*/spool.} fd=/dev/fd/3; [ -e /dev/fd ] || fd=/proc/self/fd/3
    lines=$(cat "$1") && clocks || return
    answer=$(printf '{"device":"%s","sentAt":%s%s}\n%s\n' "${from%.*}" "$now" "$stamp" "$lines" |
        curl -sS --config "$fd" --max-time "${KENER_TIMEOUT:-60}" -H Content-Type:application/x-ndjson -H Expect: \
            --data-binary @- -w '\n%{http_code}\n' "${url%/}/api/status/batch" 3<<END | cut -c 1-300 | tail -n 2 | tr '\n' ' '
header = "Authorization: Bearer $token"
END
    )
    case $answer in
    '{"status":200,"accepted":'*' 200 ') [ "${answer#*\"rejected\":0,}" != "$answer" ] || say "not all is right: $answer" ;;
    '{"error":'*' 400 ' | '{"error":'*' 413 ') cp "$1" "$state/bad" && say "put aside as $state/bad: $answer" ;;
    *) say "kept, for a later run to send: $answer"; false ;;
    esac && : > "$1" && { [ "$1" = "$(spool "$device.$count")" ] || rm -f "$1"; }
}
deliver() {
    flag=$state/lock.$$.$(date +%s).${0##*/}
    lock || { sleep 1; lock; } || { sleep 2; lock; } || { rm -f "$flag"; say "kept: another run is sending"; return 1; }
    collect || say "cannot write to $state"; set -- "$state"/spool.*
    while [ $# -gt "${KENER_KEEP:-10}" ]; do say "full: the oldest samples are dropped"; rm -f "$1"; shift; done
    sent=0; for file; do [ ! -s "$file" ] || send "$file" || { sent=1; break; }; done
    rm -f "$flag"; return $sent
}

case "$token $url" in ' '* | *' ' | *[!A-Za-z0-9._~+/=-]*' '*) die 2 "KENER_URL and KENER_TOKEN are needed" ;; esac
mkdir -p "$state" || die 1 "there is no folder $state"
[ "${1:-}" != --flush ] || { deliver; exit; }
tag=${1:-} status=${2:-UP} latency=${3:-0}; [ ${#tag} -le 64 ] || tag=''
case $tag in '' | *[!A-Za-z0-9._~-]*) die 2 "usage: heartbeat.sh TAG [STATUS] [SECONDS]" ;; esac
[ "$status" != -- ] || { shift 2; measure "$@"; }
case $status in UP | DOWN | DEGRADED) ;; *) die 2 "status must be UP, DOWN or DEGRADED" ;; esac
case $latency in '' | *[!0-9.]* | .* | *. | *.*.* | 0[0-9]*) die 2 "seconds must be a number such as 0.25" ;; esac
keep || { deliver && keep; } || die 1 "cannot keep the sample in $state"
deliver; exit 0
