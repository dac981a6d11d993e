# Ends the programs and removes the folder of a test process after its end, however it ended:
# `sh -c guard.sh sh FOLDER make`. Only the test process holds the write end of the pipe on standard
# input, so reading ends with the process.
trap '' HUP INT TERM PIPE
name=${1##*/}
if [ "$2" = make ]; then
    mkdir -m 755 "$1" || exit
    echo ready
fi
cat >/dev/null

# Lists the processes whose current directory is in the folder.
inside() {
    ls -ld /proc/[0-9]*/cwd 2>/dev/null | sed -n "s|^.* /proc/\([0-9]*\)/cwd -> .*/$name.*|\1|p"
}

# Stop after two empty lists, because a process may start another while the list is made. Stop
# after 600 rounds in any case: a process that waits for a disk may not end.
round=0
none=0
while [ $none -lt 2 ] && [ $round -lt 600 ]; do
    none=$((none + 1))
    for pid in $(inside); do
        none=0
        signal=KILL
        # On SIGQUIT, postgres removes its shared memory.
        case "$round $(cat "/proc/$pid/comm" 2>/dev/null)" in
        [0-9]' 'postgres | [0-9]' 'postmaster) signal=QUIT ;;
        esac
        kill -$signal "$pid" 2>/dev/null
        kill -CONT "$pid" 2>/dev/null
    done
    round=$((round + 1))
    [ $none = 2 ] || sleep 0.1
done

# A killed postgres leaves its shared memory behind, and this file names it.
for file in "$1"/*/data/postmaster.pid; do
    id=$(sed -n '7s/^ *[0-9]* *\([0-9]*\) *$/\1/p' "$file" 2>/dev/null)
    [ -z "$id" ] || ipcrm -m "$id" 2>/dev/null
done
[ "$2" != make ] || rm -rf "$1"
