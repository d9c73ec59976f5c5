#!/bin/sh
# Report to kener_async with sh and curl (7.55 or newer). A sample goes to disk first and is sent then; what
# cannot be sent is kept, and sent by a later run. While the disk is full, samples are sent from memory.
#
#   heartbeat.sh TAG [UP|DOWN|DEGRADED] [SECONDS]   report a status, with a latency if there is one
#   heartbeat.sh TAG -- COMMAND [ARGUMENT]...       run COMMAND: UP if it succeeds, else DOWN, and its duration
#   heartbeat.sh --flush                            send what is kept
#   heartbeat.sh --help                             print this
#
# Exit status: 0 the sample is on disk or on the server, 1 it is not (with --flush: something is left), 2 wrong
# usage.
#
# Settings come from the environment, or from /etc/kener-heartbeat when KENER_URL is not set:
#   KENER_URL, KENER_TOKEN   the server and the token, both required
#   KENER_STATE              the folder below; /var/lib/kener-heartbeat, or systemd's STATE_DIRECTORY
#   KENER_DEVICE             the device's name; the host's. A random suffix is added
#   KENER_KEEP               how many thousand samples are kept while the server is away; 10
#   KENER_TIMEOUT            seconds that one request may take; 60
#
# A sample passes through these files of the folder, from left to right:
#   tmp.PID.NAME -> new.ORDER.PID -> numbered.DEVICE.NUMBER -> a line of spool.DEVICE.THOUSAND -> the server
# The other files are `count` (the device and its last number), `lock.*` (one for each run that sends),
# `refused.DEVICE.THOUSAND` (samples of a monitor that the server does not know, or not for this token: they
# are sent again with every 30th sample and with --flush) and `bad.DEVICE.THOUSAND` (what it called malformed).
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

case ${1:-} in
--flush) ;;
--help | -h) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit ;;
--*) fail 2 "unknown option $1, see heartbeat.sh --help" ;;
esac

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
    for newest in "$state"/new.*; do :; done # the last in the order of names
    newest=${newest##*/new.}
    order=${newest%%.*}
    [ "$order" != '*' ] || order=1000000     # no file matches the pattern
    order=$((order + 1))                     # behind all others, whatever the clock says

    draft=$state/tmp.$$.${0##*/}
    if echo "$sample" > "$draft" && flush "$draft" && mv "$draft" "$state/new.$order.$$" && flush "$state"; then
        return 0
    fi 2>/dev/null
    rm -f "$draft" "$state/new.$order.$$"
    return 1
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

# End the last line of `spool` if it was cut short.
end_line() {
    if [ -s "$spool" ] && [ "$(tail -c 2 "$spool")" != '}' ]; then echo >> "$spool"; fi
}

# Append a numbered sample to its spool file. Doing it twice is harmless: both lines have the same number.
append() { # FILE
    spool=$(spool_file "${1##*/numbered.}")
    end_line && printf '{"seq":%s,%s\n' "${1##*.}" "$(cat "$1")" >> "$spool" &&
        flush "$spool" "$state" &&
        rm -f "$1"
}

# POST `lines` as one batch of a device. Sets `answer` and `code`, the HTTP status.
post() { # DEVICE
    read_clocks
    config=/dev/fd/3 # the token is read from there, because arguments are visible to everybody in `ps`
    [ -e /dev/fd ] || config=/proc/self/fd/3
    answer=$(printf '{"device":"%s","sentAt":%s%s}\n%s\n' "$1" "$now" "$monotonic_json" "$lines" |
        curl --silent --show-error --config "$config" --max-time "$timeout" \
            --header Content-Type:application/x-ndjson --header Expect: \
            --data-binary @- --write-out '\n%{http_code}\n' "${url%/}/api/status/batch" 3<<END
header = "Authorization: Bearer $token"
END
    )
    code=${answer##*
}
    answer=${answer%
*}
    case $code$answer in # a captive portal answers 200, too
    '200{"status":200,"accepted":'*) ;;
    200*) code='200, but without verdicts' ;;
    400'{"error":'* | 413*) ;;
    400*) code='400, but not from the server' ;;
    esac
}

# Print the start of the answer.
summary() { printf '%s\n' "$answer" | cut -c 1-300 | head -n 3; }

# Print those of `lines` that `answer` neither stored nor rejected: they may be accepted later.
not_judged() {
    { printf '%s\n' "$answer" | tr '{' '\n' | sed -n 's/.*"verdict":"\([^"]*\)".*/\1/p'; echo; printf '%s\n' "$lines"; } |
        awk '!after && NF == 0 { after = 1; next }
             !after { verdicts[++count] = $0; next }
             NF && verdicts[++line] !~ /^(accepted|duplicate|superseded|rejected)$/'
}

# Send a file in pieces, and empty it. Fails when what is left of it must be sent again.
send() { # FILE
    name=${1##*/spool.}
    total=$(sed -n '/./p' "$1" | wc -l) first=1
    while [ "$first" -le "$total" ]; do
        left=$((total - first + 1))
        size=$((left < piece ? left : piece))
        lines=$(sed -n '/./p' "$1" | sed -n "$first,$((first + size - 1))p")
        post "${name%.*}"
        case $code in
        200)
            case $answer in
            *'"rejected":0,'*) ;;
            *) say "some samples were rejected: $(summary)" ;;
            esac
            lines=$(not_judged)
            [ -z "$lines" ] || set_aside refused "some samples were refused, they are sent again later" || return 1
            ;;
        413 | 400) # sent again, it would be refused again, and hold up the rest
            if [ "$code" = 413 ] && [ "$size" -gt 1 ]; then
                piece=$((size / 2))
                continue
            fi
            set_aside bad "refused: $(summary)" || return 1
            ;;
        *)
            say "kept for a later run: $code $(summary)"
            return 1
            ;;
        esac
        first=$((first + size))
    done
    true > "$1" || return 1
    # The current file stays, because a command of a run that was killed may still append to it.
    [ "$1" = "$(spool_file "$device.$count")" ] || rm -f "$1"
}

# Append `lines` to the file of this kind that belongs to the spool file `name`.
set_aside() { # KIND MESSAGE
    printf '%s\n' "$lines" >> "$state/$1.$name" && flush "$state/$1.$name" "$state" || return 1
    say "$2, see $state/$1.$name"
}

# Move the refused samples back into the spool, to be sent again.
retry_refused() {
    for file in "$state"/refused.*; do
        spool=$state/spool.${file##*/refused.}
        [ -e "$file" ] && end_line && cat "$file" >> "$spool" && flush "$spool" "$state" && rm -f "$file"
    done
}

# Remove the oldest files of a kind beyond the limit.
limit_files() { # KIND
    kind=$1
    set -- "$state/$kind".*
    while [ $# -gt "$keep_files" ]; do
        say "the spool is full: dropping the oldest samples"
        rm -f "$1"
        shift
    done
}

# Send all spool files, oldest first, until one fails.
send_all() {
    limit_files spool
    piece=1000
    for file in "$state"/spool.*; do
        if [ -s "$file" ]; then send "$file" || return 1; fi
    done
}

# Send `lines` of a device from memory. Fails unless the server has stored or rejected them.
send_directly() { # DEVICE
    post "$1"
    [ "$code" = 200 ] && [ -z "$(not_judged)" ]
}

# Send the samples that a full disk keeps from becoming lines of a spool file, those without a number too.
send_files() {
    for file in "$state"/numbered.* "$state"/new.*; do
        [ -s "$file" ] || continue
        name=${file##*/numbered.}
        case $name in
        "$file") name=$device. lines="{$(cat "$file")" ;;
        *) lines="{\"seq\":${name##*.},$(cat "$file")" ;;
        esac
        send_directly "${name%.*}" || return 1
        rm -f "$file"
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
take_lock() { is_alone && true > "$lock" && is_alone; }

# Number and send what is kept. Fails when something is left.
deliver() {
    lock=$state/lock.$$.$(date +%s).${0##*/}
    if ! { take_lock || { sleep 1 && take_lock; } || { sleep 2 && take_lock; }; }; then
        rm -f "$lock"
        say "kept: another run is sending"
        return 1
    fi
    for file in "$state"/tmp.*; do # tmp.PID.NAME of a run that was killed
        owner=${file##*/tmp.}
        is_running "${owner%%.*}" "${owner#*.}" || rm -f "$file"
    done
    read_count
    retried=$((count / 30))
    if ! number_samples; then
        say "cannot write to $state"
        send_files
    fi
    if [ "${1:-}" = --flush ] || [ $((count / 30)) -gt $retried ]; then retry_refused; fi
    send_all
    sent=$?
    limit_files refused
    limit_files bad
    rm -f "$lock"
    return $sent
}

# Whether nothing is left to be sent again.
is_empty() {
    for file in "$state"/refused.*; do [ ! -s "$file" ] || return 1; done
}

[ -n "$url" ] || fail 2 "KENER_URL is required"
case $token in
'' | *[!A-Za-z0-9._~+/=-]*) fail 2 "KENER_TOKEN is missing or contains an invalid character" ;;
esac
mkdir -p "$state" || say "cannot create the folder $state"

if [ "${1:-}" = --flush ]; then
    deliver --flush && is_empty
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

read_clocks
sample=$(printf '"tag":"%s","status":"%s","latency":%s,"timestampInSeconds":%s%s}' \
    "$tag" "$status" "$latency" "$now" "$monotonic_json")
if ! keep; then
    say "cannot write to $state, going on from memory"
    deliver # which may make room
    if ! keep; then
        read_count
        lines="{$sample"
        send_directly "$device" || fail 1 "the sample is lost: $code $(summary)"
        exit 0
    fi
fi
deliver
exit 0
